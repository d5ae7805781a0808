-- A second spine, a second question: the same flights, asked about once more as they leave the gate. By then it is known how late
-- they are so far. Online nobody can look that up in time, so whoever asks says it: request data.
with predictions as (
    select * from {{ ref('flight_predictions') }}
),

flights as (
    select * from {{ ref('flight_clocks') }}
),

final as (
    select
        predictions.* replace (flights.departed_at as event_timestamp),
        flights.dep_delay_minutes::double as dep_delay_so_far
    from predictions
    inner join flights on predictions.flight_id = flights.flight_id
)

select * from final
order by event_timestamp, flight_id
