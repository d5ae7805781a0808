-- The last week of a route, as of each of its landings.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

landings as (
    select
        origin,
        dest,
        landed_at,
        count(*) as landings,
        sum(arr_delay_minutes) as delay_minutes,
        sum(dep_delay_minutes) as dep_delay_minutes,
        count(*) filter (where is_late) as late_landings
    from flights
    where landed_at is not null
    group by origin, dest, landed_at
),

final as (
    select
        origin,
        dest,
        landed_at,
        sum(landings) over last_week::integer as route_landings_7d,
        sum(delay_minutes) over last_week / sum(landings) over last_week as route_arr_delay_7d,
        -- what the planes made up on their way
        sum(dep_delay_minutes - delay_minutes) over last_week / sum(landings) over last_week as route_made_up_7d,
        sum(late_landings) over last_week / sum(landings) over last_week as route_late_share_7d
    from landings
    window
        last_week as (partition by origin, dest order by landed_at range between interval 7 days preceding and current row)
)

select * from final
order by origin, dest, landed_at
