-- How late a carrier has been running, as of each of its landings: the numbers change when a plane lands, not before.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

landings as (
    select
        carrier,
        landed_at,
        count(*) as landings,
        sum(arr_delay_minutes) as delay_minutes,
        count(*) filter (where is_late) as late_landings
    from flights
    where landed_at is not null
    group by carrier, landed_at
),

final as (
    select
        carrier,
        landed_at,
        sum(landings) over last_day::integer as carrier_landings_24h,
        sum(delay_minutes) over last_day / sum(landings) over last_day as carrier_arr_delay_24h,
        sum(late_landings) over last_day / sum(landings) over last_day as carrier_late_share_24h,
        sum(delay_minutes) over last_hours / sum(landings) over last_hours as carrier_arr_delay_3h
    from landings
    window
        last_day as (partition by carrier order by landed_at range between interval 24 hours preceding and current row),
        last_hours as (partition by carrier order by landed_at range between interval 3 hours preceding and current row)
)

select * from final
order by carrier, landed_at
