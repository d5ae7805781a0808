-- The last flight of a plane that left New York, with both its clocks: it happened when the plane departed, and what is told
-- of it here was known when the plane had landed. A late plane is late again; but not before it is known to be late.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

final as (
    select
        tailnum,
        departed_at,
        landed_at,
        arr_delay_minutes as plane_last_arr_delay,
        dep_delay_minutes as plane_last_dep_delay,
        dest as plane_last_dest,
        distance_miles as plane_last_distance_miles
    from flights
    where landed_at is not null
)

select * from final
order by tailnum, departed_at
