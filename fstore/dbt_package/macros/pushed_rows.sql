{#
  The rows that were pushed to a feature view with to="offline", as a SELECT. The model of the view
  unites them with what comes from its source, so that they are trained on and materialized:

      select * from {{ ref('stg_readings') }}
      union all by name
      {{ fstore.pushed_rows('readings', like=ref('stg_readings')) }}

  `like` is a relation with the same columns: it stands in, without its rows, until the first push.
  `folder` is online_store.path of fstore.yml, where that is set; a relative one starts where dbt
  runs, as the path in profiles.yml does.
#}
{% macro pushed_rows(view, like, folder='.fstore') %}
  {%- set files = folder ~ '/' ~ target.name ~ '/pushed/' ~ (view | urlencode) ~ '/*.parquet' -%}
  {%- set files = files | replace("'", "''") -%}
  {%- set found = 0 -%}
  {%- if execute -%}
    {%- set found = run_query("select count(*) from glob('" ~ files ~ "')").columns[0].values()[0] -%}
  {%- endif -%}
  {%- if found -%}
    select * from read_parquet('{{ files }}', union_by_name = true)
  {%- else -%}
    select * from {{ like }} where false
  {%- endif -%}
{% endmacro %}
