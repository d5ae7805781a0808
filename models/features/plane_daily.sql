-- A plane's day in one row, dated with the UTC day of its landings. See the .yml: one line there keeps it honest.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

final as (
    select
        tailnum,
        landed_at::date as utc_date,
        count(*)::integer as plane_day_landings,
        avg(arr_delay_minutes) as plane_day_arr_delay
    from flights
    where landed_at is not null
    group by tailnum, utc_date
)

select * from final
order by tailnum, utc_date
