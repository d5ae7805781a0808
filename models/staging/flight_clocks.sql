-- Every wall clock of a flight as a UTC instant: origin's clock for departures, the destination's for arrivals.
-- A cancelled flight never departs; a diverted one never lands here. Their instants are NULL: known never.
with flights as (
    select * from {{ ref('stg_flights') }}
),

airports as (
    select * from {{ ref('stg_airports') }}
),

zones as (
    select
        flights.*,
        origins.time_zone as origin_zone,
        dests.time_zone as dest_zone
    from flights
    inner join airports as origins on flights.origin = origins.airport
    inner join airports as dests on flights.dest = dests.airport
),

scheduled as (
    select
        *,
        {{ to_utc("local_date + to_minutes(" ~ clock_minutes('scheduled_departure_clock') ~ ")", 'origin_zone') }} as scheduled_departure_at
    from zones
),

departed as (
    select
        *,
        -- the schedule and the delay, not the departure clock: that one has no date, and delays pass midnight
        scheduled_departure_at + to_minutes(dep_delay_minutes) as departed_at,
        {{ next_time_clock_reads('scheduled_arrival_clock', 'dest_zone', 'scheduled_departure_at') }} as scheduled_arrival_at
    from scheduled
),

landed as (
    select
        *,
        case
            -- 717 diverted flights reached their destination after all; no air time, so no telling on which day
            when arr_delay_minutes is not null
                then {{ next_time_clock_reads('arrival_clock', 'dest_zone', 'departed_at') }}
        end as landed_at
    from departed
),

final as (
    select
        flight_id,
        carrier,
        tailnum,
        origin,
        dest,
        origin_zone,
        dest_zone,
        scheduled_departure_at,
        departed_at,
        scheduled_arrival_at,
        landed_at,
        -- what the file says beside them: the witnesses of the tests
        scheduled_hour_at,
        departure_clock,
        dep_delay_minutes,
        arr_delay_minutes,
        air_minutes,
        distance_miles,
        departed_at is null as is_cancelled,
        departed_at is not null and landed_at is null as is_diverted,
        arr_delay_minutes > 15 as is_late
    from landed
)

select * from final
order by scheduled_departure_at, flight_id
