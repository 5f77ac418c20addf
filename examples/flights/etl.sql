-- The main job: from five raw files to features for training and a report for people.
--
--   windlass run examples/flights/etl.sql        from the repository's root, or
--   windlass demo                                the same with a tour of the results
--
-- Input: all flights that left New York in 2013, with airlines, planes, airports and the
-- hourly weather (data/nycflights13/README.md). NA in the files is read as null.
-- Output: windlass-demo/features/month=1/… and windlass-demo/routes.parquet.

CREATE EXTERNAL TABLE flights STORED AS CSV LOCATION 'data/nycflights13/flights.csv.gz';
CREATE EXTERNAL TABLE airlines STORED AS CSV LOCATION 'data/nycflights13/airlines.csv.gz';
CREATE EXTERNAL TABLE planes STORED AS CSV LOCATION 'data/nycflights13/planes.csv.gz';
CREATE EXTERNAL TABLE airports STORED AS CSV LOCATION 'data/nycflights13/airports.csv.gz';
CREATE EXTERNAL TABLE weather STORED AS CSV LOCATION 'data/nycflights13/weather.csv.gz';

-- One row a flight with everything that is known of it. A flight without a departure time
-- was cancelled. The weather is that of the scheduled hour at the origin.
CREATE VIEW features AS
SELECT
    f.month,
    f.day,
    f.hour,
    f.time_hour,
    f.carrier,
    l.name AS airline,
    f.flight,
    f.tailnum,
    f.origin,
    f.dest,
    a.name AS destination,
    f.distance,
    f.air_time,
    f.dep_delay,
    f.arr_delay,
    CASE
        WHEN f.dep_delay IS NULL THEN 'cancelled'
        WHEN f.dep_delay <= 0 THEN 'on time'
        WHEN f.dep_delay <= 15 THEN 'slight'
        WHEN f.dep_delay <= 60 THEN 'late'
        ELSE 'very late'
    END AS delay_class,
    CASE WHEN f.dep_delay IS NULL THEN 1 ELSE 0 END AS cancelled,
    f.dep_delay - f.arr_delay AS made_up,
    round(f.distance * 60.0 / f.air_time, 1) AS speed_mph,
    f.year - p.year AS plane_age,
    p.manufacturer,
    p.seats,
    -- Hours since Sunday midnight, local time.
    date_part('dow', make_date(f.year, f.month, f.day)) * 24 + f.hour AS hour_of_week,
    w.temp,
    w.wind_speed,
    w.precip,
    w.visib,
    CASE
        WHEN w.visib < 3 THEN 'poor visibility'
        WHEN w.precip > 0 AND w.temp <= 32 THEN 'snow or ice'
        WHEN w.precip > 0 THEN 'rain'
        WHEN w.wind_speed > 25 THEN 'wind'
        WHEN w.temp IS NULL THEN NULL
        ELSE 'fair'
    END AS conditions
FROM flights f
JOIN airlines l ON l.carrier = f.carrier
LEFT JOIN planes p ON p.tailnum = f.tailnum
LEFT JOIN airports a ON a.faa = f.dest
LEFT JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour;

COPY (SELECT * FROM features)
TO 'windlass-demo/features/' STORED AS PARQUET PARTITIONED BY (month);

-- From here on the job reads its own output: narrow columns, fit for devices.
CREATE EXTERNAL TABLE departures STORED AS PARQUET
PARTITIONED BY (month) LOCATION 'windlass-demo/features/';

COPY (
    SELECT
        carrier,
        airline,
        origin,
        dest,
        month,
        count(*) AS flights,
        sum(cancelled) AS cancelled,
        avg(dep_delay) AS avg_dep_delay,
        stddev(dep_delay) AS stddev_dep_delay,
        max(dep_delay) AS max_dep_delay,
        avg(made_up) AS avg_made_up,
        avg(speed_mph) AS avg_speed_mph,
        avg(plane_age) AS avg_plane_age
    FROM departures
    GROUP BY carrier, airline, origin, dest, month
    ORDER BY carrier, origin, dest, month
)
TO 'windlass-demo/routes.parquet' STORED AS PARQUET;

-- How conditions at departure and delays go together.
SELECT
    conditions,
    count(*) AS flights,
    round(100.0 * sum(cancelled) / count(*), 1) AS cancelled_pct,
    round(avg(dep_delay), 1) AS avg_delay,
    round(100.0 * sum(CASE WHEN dep_delay > 60 THEN 1 ELSE 0 END) / count(*), 1) AS very_late_pct
FROM departures
WHERE conditions IS NOT NULL
GROUP BY conditions
ORDER BY avg_delay;

-- The airlines of 2013.
SELECT
    airline,
    count(*) AS flights,
    round(100.0 * sum(cancelled) / count(*), 1) AS cancelled_pct,
    round(avg(dep_delay), 1) AS avg_delay,
    round(avg(made_up), 1) AS avg_made_up,
    round(avg(speed_mph)) AS avg_mph,
    round(avg(plane_age), 1) AS plane_age
FROM departures
GROUP BY airline
ORDER BY flights DESC;
