//! The job of `examples/flights/etl.sql` by calls on frames: joins the five tables of
//! nycflights13, derives features, writes them as Parquet by month, and summarises routes.
//!
//! ```text
//! cargo run --example flights            from the repository's root
//! ```

use windlass::prelude::*;

const DATA: &str = "data/nycflights13";
const OUT: &str = "target/flights-example";

#[tokio::main]
async fn main() -> windlass::Result<()> {
    let session = Session::new()?;
    let flights = session.read(&format!("{DATA}/flights.csv.gz")).await?;
    let airlines = session.read(&format!("{DATA}/airlines.csv.gz")).await?;
    let planes = session.read(&format!("{DATA}/planes.csv.gz")).await?;
    let airports = session.read(&format!("{DATA}/airports.csv.gz")).await?;
    let weather = session.read(&format!("{DATA}/weather.csv.gz")).await?;

    // The columns that other tables add, under names of their own.
    let airlines = airlines.rename("name", "airline")?;
    let planes = planes
        .select(&["tailnum", "year", "manufacturer", "seats"])?
        .rename("year", "plane_year")?;
    let airports =
        airports.select(&["faa", "name"])?.rename("faa", "dest")?.rename("name", "destination")?;
    let weather =
        weather.select(&["origin", "time_hour", "temp", "wind_speed", "precip", "visib"])?;

    let joined = flights
        .join_using(&airlines, JoinType::Inner, &["carrier"])?
        .join_using(&planes, JoinType::Left, &["tailnum"])?
        .join_using(&airports, JoinType::Left, &["dest"])?
        .join_using(&weather, JoinType::Left, &["origin", "time_hour"])?;

    // A flight without a departure time was cancelled.
    let delay_class = when(col("dep_delay").is_null(), lit("cancelled"))
        .when(col("dep_delay").lt_eq(lit(0)), lit("on time"))
        .when(col("dep_delay").lt_eq(lit(15)), lit("slight"))
        .when(col("dep_delay").lt_eq(lit(60)), lit("late"))
        .otherwise(lit("very late"))?;
    let cancelled = when(col("dep_delay").is_null(), lit(1)).otherwise(lit(0))?;
    let wet = col("precip").gt(lit(0.0));
    let conditions = when(col("visib").lt(lit(3.0)), lit("poor visibility"))
        .when(wet.clone().and(col("temp").lt_eq(lit(32.0))), lit("snow or ice"))
        .when(wet, lit("rain"))
        .when(col("wind_speed").gt(lit(25.0)), lit("wind"))
        .when(col("temp").is_null(), lit(ScalarValue::Utf8(None)))
        .otherwise(lit("fair"))?;
    let day = make_date(col("year"), col("month"), col("day"));
    let speed = col("distance") * lit(60.0) / col("air_time");
    let features = joined
        .with_column("delay_class", delay_class)?
        .with_column("cancelled", cancelled)?
        .with_column("made_up", col("dep_delay") - col("arr_delay"))?
        .with_column("speed_mph", round(vec![speed, lit(1)]))?
        .with_column("plane_age", col("year") - col("plane_year"))?
        // Hours since Sunday midnight, local time.
        .with_column("hour_of_week", date_part(lit("dow"), day) * lit(24) + col("hour"))?
        .with_column("conditions", conditions)?;

    let by_month = WriteOptions { partition_by: vec!["month".to_string()], ..Default::default() };
    features.write_parquet(&format!("{OUT}/features/"), &by_month).await?;

    // From here on the job reads its own output.
    let departures = session.read(&format!("{OUT}/features/")).await?;
    let routes = departures
        .group_by(&["carrier", "airline", "origin", "dest", "month"])?
        .agg(vec![
            count(lit(1)).alias("flights"),
            sum(col("cancelled")).alias("cancelled"),
            avg(col("dep_delay")).alias("avg_dep_delay"),
            stddev(col("dep_delay")).alias("stddev_dep_delay"),
            max(col("dep_delay")).alias("max_dep_delay"),
            avg(col("made_up")).alias("avg_made_up"),
            avg(col("speed_mph")).alias("avg_speed_mph"),
            avg(col("plane_age")).alias("avg_plane_age"),
        ])?
        .sort_by(&["carrier", "origin", "dest", "month"])?;
    let written =
        routes.write_parquet(&format!("{OUT}/routes.parquet"), &WriteOptions::default()).await?;

    departures
        .filter(col("conditions").is_not_null())?
        .group_by(&["conditions"])?
        .agg(vec![count(lit(1)).alias("flights"), avg(col("dep_delay")).alias("avg_delay")])?
        .sort_by(&["avg_delay"])?
        .show()
        .await?;

    // Frames and SQL mix.
    session.register("departures", &departures)?;
    let airlines = "select airline, count(*) as flights, round(avg(dep_delay), 1) as avg_delay \
                    from departures group by airline order by flights desc";
    session.sql(airlines).await?.show().await?;

    use std::io::Write;
    let note =
        format!("{} routes in {OUT}/routes.parquet, features in {OUT}/features", written.rows);
    writeln!(std::io::stdout(), "{note}")
        .map_err(|e| FrameError::Execution(format!("standard output: {e}")))
}
