-- Computed for one row at a time when somebody asks, in a training set and online by this one text: nothing of it is stored.
select
    -- if the flight makes up what flights on its route have made up this week, it will land this late
    dep_delay_so_far - route_made_up_7d as arr_delay_expected,
    -- is it this flight, or is it everybody today?
    dep_delay_so_far - carrier_arr_delay_avg_1d as delay_over_carrier,
    dep_delay_so_far - origin_now__dep_delay_avg_1h as delay_over_origin
from inputs
