with flights as (
    select * from {{ source('nycflights13', 'flights') }}
),

final as (
    select
        format('{:04d}-{:02d}-{:02d}-{}-{}-{}', year, month, day, carrier, flight, origin) as flight_id,
        carrier,
        tailnum,
        origin,
        dest,
        make_date(year, month, day) as local_date,
        sched_dep_time as scheduled_departure_clock,
        dep_time as departure_clock,
        sched_arr_time as scheduled_arrival_clock,
        arr_time as arrival_clock,
        dep_delay as dep_delay_minutes,
        arr_delay as arr_delay_minutes,
        air_time as air_minutes,
        distance as distance_miles,
        timezone('UTC', time_hour) as scheduled_hour_at
    from flights
)

select * from final
order by flight_id
