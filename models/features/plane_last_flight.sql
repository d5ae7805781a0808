-- The last landing of a plane that left New York. A late plane is late again; but not before it is known to be late.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

final as (
    select
        tailnum,
        landed_at,
        arr_delay_minutes as plane_last_arr_delay,
        dep_delay_minutes as plane_last_dep_delay,
        dest as plane_last_dest,
        distance_miles as plane_last_distance_miles
    from flights
    where landed_at is not null
    -- the file lands N710TW twice in one minute of 18 April; one of the two must be another plane
    qualify row_number() over (partition by tailnum, landed_at order by departed_at) = 1
)

select * from final
order by tailnum, landed_at
