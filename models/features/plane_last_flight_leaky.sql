-- THE WRONG WAY, kept to show what it does. The columns of plane_last_flight, but the delay is stamped at the scheduled departure
-- instead of at the landing: a flight still in the air already tells how late it will be.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

final as (
    select
        tailnum,
        scheduled_departure_at,
        arr_delay_minutes as plane_last_arr_delay,
        dep_delay_minutes as plane_last_dep_delay,
        dest as plane_last_dest,
        distance_miles as plane_last_distance_miles
    from flights
    where landed_at is not null
    qualify row_number() over (partition by tailnum, scheduled_departure_at order by departed_at) = 1
)

select * from final
order by tailnum, scheduled_departure_at
