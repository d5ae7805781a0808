{#
  The last line of a feature view's SQL: stores its rows by join key and event time, so that a
  training set reads the rows of a key from one place. Both are taken from the model's meta.fstore.

      select carrier, arrived_at, avg_delay from final
      {{ fstore.order_by_key_and_time() }}
#}
{% macro order_by_key_and_time() %}
  {%- set declared = (config.get('meta') or {}).get('fstore') or {} -%}
  {%- set columns = [] -%}
  {%- for keys in (declared.get('entities') or {}).values() -%}
    {%- do columns.extend([keys] if keys is string else keys) -%}
  {%- endfor -%}
  {%- do columns.append(declared.get('event_timestamp') or config.get('event_time')) -%}
  order by {% for column in columns | select | unique -%}
    {{ adapter.quote(column) }}{{ ", " if not loop.last }}
  {%- endfor %}
{% endmacro %}
