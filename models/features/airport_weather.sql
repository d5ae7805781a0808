-- An hour's weather happened in that hour and was known at its end: two clocks.
with weather as (
    select * from {{ ref('stg_weather') }}
),

final as (
    select
        airport,
        hour_started_at as observed_at,
        hour_started_at + interval 1 hour as published_at,
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
