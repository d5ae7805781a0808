{# The UTC instant, as a plain timestamp, at which the clocks of `zone` read `local_time`. #}
{% macro to_utc(local_time, zone) -%}
    timezone('UTC', timezone({{ zone }}, {{ local_time }}))
{%- endmacro %}
