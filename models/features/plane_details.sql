-- A dimension: what does not change about a plane. The register is one extract without history; we say it was known when the year began.
with planes as (
    select * from {{ ref('stg_planes') }}
),

final as (
    select
        tailnum,
        timestamp '2013-01-01 00:00:00' as registered_at,
        built_year,
        plane_type,
        manufacturer,
        plane_model,
        engine_type,
        engine_count,
        seat_count
    from planes
)

select * from final
order by tailnum
