-- One row per airport and UTC day, dated with the day itself: the DATE clock means its first instant, 00:00 UTC, when nothing of
-- this is known yet. The declared delay of a day is what keeps it honest.
with flights as (
    select * from {{ ref('flight_clocks') }}
),

movements as (
    select
        origin as airport,
        departed_at::date as utc_date,
        dep_delay_minutes,
        null as arr_delay_minutes
    from flights
    where departed_at is not null

    union all

    select
        dest as airport,
        landed_at::date as utc_date,
        null as dep_delay_minutes,
        arr_delay_minutes
    from flights
    where landed_at is not null
),

final as (
    select
        airport,
        utc_date,
        count(dep_delay_minutes)::integer as departures,
        avg(dep_delay_minutes) as mean_dep_delay,
        count(arr_delay_minutes)::integer as arrivals,
        avg(arr_delay_minutes) as mean_arr_delay
    from movements
    group by airport, utc_date
)

select * from final
order by airport, utc_date
