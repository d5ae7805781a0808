{#
    The first UTC instant after `utc_time` at which the clocks of `zone` read `hhmm`.
    The raw file gives arrivals as a wall clock without a date: this finds the date, and so the instant.
#}
{% macro next_time_clock_reads(hhmm, zone, utc_time) -%}
    {%- set local_start = to_local(utc_time, zone) -%}
    {%- set same_day = "date_trunc('day', " ~ local_start ~ ") + to_minutes(" ~ clock_minutes(hhmm) ~ ")" -%}
    {{ to_utc("case when " ~ same_day ~ " > " ~ local_start ~ " then " ~ same_day ~ " else " ~ same_day ~ " + interval 1 day end", zone) }}
{%- endmacro %}
