-- An hour's weather, dated with the start of the hour. Nobody knows it then: the declared delay is that hour.
with weather as (
    select * from {{ ref('stg_weather') }}
),

final as (
    select
        airport,
        hour_started_at as observed_at,
        temp_f,
        dew_point_f,
        humidity_pct,
        wind_speed_mph,
        precip_in,
        visibility_mi
    from weather
)

select * from final
order by airport, observed_at
