-- All three airports together, rolled up by the hour. An hour's numbers are known at its end, so that is the row's clock.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

hours as (
    select unnest(generate_series(
        (select date_trunc('hour', min(departed_at)) from flights),
        (select date_trunc('hour', max(landed_at)) from flights),
        interval 1 hour
    )) as hour_started_at
),

departures as (
    select
        date_trunc('hour', departed_at) as hour_started_at,
        count(*) as departures,
        sum(dep_delay_minutes) as delay_minutes
    from flights
    where departed_at is not null
    group by 1
),

landings as (
    select
        date_trunc('hour', landed_at) as hour_started_at,
        count(*) as landings,
        count(*) filter (where is_late) as late_landings
    from flights
    where landed_at is not null
    group by 1
),

hourly as (
    select
        hours.hour_started_at + interval 1 hour as hour_ended_at,
        coalesce(departures.departures, 0) as departures,
        coalesce(departures.delay_minutes, 0) as delay_minutes,
        coalesce(landings.landings, 0) as landings,
        coalesce(landings.late_landings, 0) as late_landings
    from hours
    left join departures on hours.hour_started_at = departures.hour_started_at
    left join landings on hours.hour_started_at = landings.hour_started_at
),

final as (
    select
        hour_ended_at,
        sum(departures) over last_hours::integer as system_departures_3h,
        -- no departures in three hours (the night): no mean, and no division by zero
        sum(delay_minutes) over last_hours / nullif(sum(departures) over last_hours, 0) as system_dep_delay_3h,
        sum(late_landings) over last_hours / nullif(sum(landings) over last_hours, 0) as system_late_share_3h
    from hourly
    window
        last_hours as (order by hour_ended_at rows between 2 preceding and current row)
)

select * from final
order by hour_ended_at
