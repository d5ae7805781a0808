-- THE WRONG WAY, kept to show what it does. The very rows of plane_last_flight; what differs is one line of the .yml.
with plane_last_flight as (
    select * from {{ ref('plane_last_flight') }}
),

final as (
    select * from plane_last_flight
)

select * from final
order by tailnum, departed_at
