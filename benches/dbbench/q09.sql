-- db-benchmark, group-by question 9: regression v1, v2 by id2, id4.
SELECT id2, id4, power(corr(v1, v2), 2) AS r2
FROM x
GROUP BY id2, id4;
