-- db-benchmark, join question 4: medium inner on factor.
SELECT x.*, medium.id1 AS medium_id1, medium.id2 AS medium_id2, medium.id4 AS medium_id4, v2
FROM j AS x
JOIN medium ON x.id5 = medium.id5;
