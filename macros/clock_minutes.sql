{# Minutes after midnight of a wall clock written as hhmm. 2400 is the midnight that ends the day. #}
{% macro clock_minutes(hhmm) -%}
    ({{ hhmm }} // 100 * 60 + {{ hhmm }} % 100)
{%- endmacro %}
