-- The landings of a carrier, one row each, and no rolling numbers: those are declared in the .yml, and worked out at whatever
-- instant somebody asks.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

final as (
    select
        flight_id,
        carrier,
        landed_at,
        arr_delay_minutes,
        is_late
    from flights
    where landed_at is not null
)

select * from final
order by carrier, landed_at, flight_id
