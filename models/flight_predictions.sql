-- The spine: the rows to train on. One per flight that departed, asked two hours before it was due to leave, with what the
-- schedule says by then and the label. No history here: that is what the feature views are for.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

final as (
    select
        flight_id,
        scheduled_departure_at - interval 2 hours as event_timestamp,
        carrier,
        tailnum,
        origin,
        dest,
        extract('hour' from {{ to_local('scheduled_departure_at', 'origin_zone') }})::integer as scheduled_hour,
        extract('isodow' from {{ to_local('scheduled_departure_at', 'origin_zone') }})::integer as scheduled_weekday,
        date_diff('minute', scheduled_departure_at, scheduled_arrival_at)::integer as scheduled_minutes,
        distance_miles,
        is_late
    from flights
    where not is_cancelled
)

select * from final
order by event_timestamp, flight_id
