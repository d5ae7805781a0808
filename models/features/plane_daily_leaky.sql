-- THE WRONG WAY, kept to show what it does. The very rows of plane_daily; what differs is one line of the .yml.
with plane_daily as (
    select * from {{ ref('plane_daily') }}
),

final as (
    select * from plane_daily
)

select * from final
order by tailnum, utc_date
