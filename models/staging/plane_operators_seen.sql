-- Who flies a plane, as far as flights have shown it up to var('snapshot_at'). Each build overwrites this table with the present state;
-- the snapshot plane_operators keeps what it was.
with flights as (
    select * from {{ ref('flight_clocks') }}
    where departed_at <= timestamp '{{ var("snapshot_at") }}'
),

marked as (
    select
        tailnum,
        carrier,
        departed_at,
        lag(carrier) over (partition by tailnum order by departed_at, flight_id) is distinct from carrier as is_first_flight_of_operator
    from flights
),

final as (
    select
        tailnum,
        carrier as operator,
        departed_at as operated_since
    from marked
    where is_first_flight_of_operator
    qualify row_number() over (partition by tailnum order by departed_at desc) = 1
)

select * from final
order by tailnum
