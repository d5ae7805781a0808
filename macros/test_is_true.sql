{# Generic test: the expression holds on every row; a NULL does not fail. #}
{% test is_true(model, expression, column_name=none) %}
select *
from {{ model }}
where not ({{ expression }})
{% endtest %}
