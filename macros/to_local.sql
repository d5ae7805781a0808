{# What the clocks of `zone` read at the UTC instant `utc_time`. #}
{% macro to_local(utc_time, zone) -%}
    timezone({{ zone }}, timezone('UTC', {{ utc_time }}))
{%- endmacro %}
