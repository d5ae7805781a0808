-- The departures of an airport in New York, one row each. How late a plane leaves is known when it leaves, so that is the row's
-- clock; what is said of the last hour and the last day is declared in the .yml.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

final as (
    select
        flight_id,
        origin as airport,
        departed_at,
        dep_delay_minutes
    from flights
    where departed_at is not null
)

select * from final
order by airport, departed_at, flight_id
