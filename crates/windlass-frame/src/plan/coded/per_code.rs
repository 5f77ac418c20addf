//! Conditions on one text column, evaluated once for each text of a dictionary.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, RecordBatch, new_null_array},
    buffer::{BooleanBuffer, NullBuffer},
    compute::{cast, concat},
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef},
};
use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    error::Result,
    logical_expr::ColumnarValue,
    physical_plan::{PhysicalExpr, expressions::Column},
};
use parking_lot::Mutex;

/// Dictionaries whose texts were looked at and that are remembered: two for each of a few
/// partitions, since a batch may span two column chunks. A guess.
const REMEMBERED: usize = 16;

/// What a condition says of a text.
const FALSE: u8 = 0;
const TRUE: u8 = 1;
const UNKNOWN: u8 = 2;

/// A condition that reads one text column, over the column as codes.
///
/// ```text
///   dictionary: MAIL SHIP AIR null ─► condition ─► 1 1 0 ?      (once for each dictionary)
///   codes:      2 0 0 1 2          ─► look-up   ─► 0 1 1 1 0    (each row)
/// ```
///
/// A condition that fails on some text of a dictionary is evaluated on the rows instead: the
/// text may be in none of them.
#[derive(Debug, Clone)]
pub(super) struct PerCode {
    /// The column of codes.
    column: Arc<dyn PhysicalExpr>,
    /// The condition over `texts`.
    test: Arc<dyn PhysicalExpr>,
    /// The column alone, as texts.
    texts: SchemaRef,
    met: Arc<Mutex<Vec<Met>>>,
}

/// A dictionary and what the condition says of its texts, and of null behind them.
#[derive(Debug, Clone)]
struct Met {
    texts: ArrayRef,
    says: Arc<[u8]>,
}

impl PerCode {
    /// `test`, which reads no column but `column`, a text column of its input of type `text`.
    ///
    /// # Errors
    /// Those of rewriting the expression.
    pub(super) fn try_new(
        test: &Arc<dyn PhysicalExpr>,
        column: &Column,
        text: &DataType,
    ) -> Result<Self> {
        let alone = |e: Arc<dyn PhysicalExpr>| match e.downcast_ref::<Column>() {
            Some(column) => {
                let first = Column::new(column.name(), 0);
                Ok(Transformed::yes(Arc::new(first) as Arc<dyn PhysicalExpr>))
            }
            None => Ok(Transformed::no(e)),
        };
        let test = Arc::clone(test).transform_up(alone)?.data;
        let texts = Schema::new(vec![Field::new(column.name(), text.clone(), true)]);
        let column = Arc::new(column.clone());
        Ok(Self { column, test, texts: Arc::new(texts), met: Arc::default() })
    }

    /// What the condition says of these texts.
    fn on_texts(&self, texts: &ArrayRef) -> Result<BooleanArray> {
        let texts = cast(texts, self.texts.field(0).data_type())?;
        let batch = RecordBatch::try_new(Arc::clone(&self.texts), vec![texts])?;
        let says = self.test.evaluate(&batch)?.into_array(batch.num_rows())?;
        Ok(says.as_boolean().clone())
    }

    /// What it says of each text of a dictionary, and of null.
    fn on_dictionary(&self, texts: &ArrayRef) -> Result<Arc<[u8]>> {
        // Address and length: batches of a column chunk share the array.
        let same = |met: &&Met| {
            Arc::ptr_eq(&met.texts, texts) || met.texts.to_data().ptr_eq(&texts.to_data())
        };
        if let Some(met) = self.met.lock().iter().find(same) {
            return Ok(Arc::clone(&met.says));
        }
        let null = new_null_array(texts.data_type(), 1);
        let says = self.on_texts(&concat(&[texts, &null])?)?;
        let says = says.iter().map(|says| match says {
            Some(true) => TRUE,
            Some(false) => FALSE,
            None => UNKNOWN,
        });
        let says: Arc<[u8]> = says.collect();
        let mut met = self.met.lock();
        if met.len() == REMEMBERED {
            met.remove(0);
        }
        met.push(Met { texts: Arc::clone(texts), says: Arc::clone(&says) });
        Ok(says)
    }
}

/// The condition for each row, by its code.
fn look_up(codes: &DictionaryArray<Int32Type>, says: &[u8]) -> BooleanArray {
    let (keys, null) = (codes.keys().values(), says.len() - 1);
    let of = |row: usize| says[keys[row] as usize];
    let of_nullable = |row: usize, valid: &NullBuffer| match valid.is_valid(row) {
        true => of(row),
        false => says[null],
    };
    let collect = |wanted: fn(u8) -> bool| match codes.keys().nulls() {
        None => BooleanBuffer::collect_bool(keys.len(), |row| wanted(of(row))),
        Some(valid) => BooleanBuffer::collect_bool(keys.len(), |r| wanted(of_nullable(r, valid))),
    };
    let values = collect(|says| says == TRUE);
    let known = says.contains(&UNKNOWN).then(|| NullBuffer::new(collect(|says| says != UNKNOWN)));
    BooleanArray::new(values, known)
}

impl fmt::Display for PerCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by_code({})", self.test)
    }
}

impl PartialEq for PerCode {
    fn eq(&self, other: &Self) -> bool {
        (&self.column, &self.test, &self.texts) == (&other.column, &other.test, &other.texts)
    }
}

impl Eq for PerCode {}

impl Hash for PerCode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.column, &self.test).hash(state);
    }
}

impl PhysicalExpr for PerCode {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _input_schema: &Schema) -> Result<bool> {
        self.test.nullable(&self.texts)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let column = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let by_code = column
            .as_dictionary_opt::<Int32Type>()
            .and_then(|codes| Some(look_up(codes, &self.on_dictionary(codes.values()).ok()?)));
        let says = match by_code {
            Some(says) => says,
            None => self.on_texts(&column)?,
        };
        Ok(ColumnarValue::Array(Arc::new(says)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let column = children.pop().unwrap_or_else(|| Arc::clone(&self.column));
        Ok(Arc::new(Self { column, ..Self::clone(&self) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.test.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};
    use datafusion::{
        common::ScalarValue,
        logical_expr::Operator,
        physical_plan::expressions::{BinaryExpr, CastExpr, IsNullExpr, lit},
    };

    use super::*;

    fn column() -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new("t", 1))
    }

    fn compared(
        left: Arc<dyn PhysicalExpr>,
        op: Operator,
        right: ScalarValue,
    ) -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(left, op, lit(right)))
    }

    fn is_mail() -> Arc<dyn PhysicalExpr> {
        compared(column(), Operator::Eq, ScalarValue::Utf8View(Some("MAIL".into())))
    }

    fn batch(texts: ArrayRef) -> RecordBatch {
        let other: ArrayRef = Arc::new(Int32Array::from(vec![0; texts.len()]));
        RecordBatch::try_from_iter([("a", other), ("t", texts)]).unwrap()
    }

    fn coded(codes: Vec<Option<i32>>, texts: Vec<Option<&str>>) -> RecordBatch {
        let texts = Arc::new(StringArray::from(texts));
        batch(Arc::new(DictionaryArray::new(Int32Array::from(codes), texts)))
    }

    fn over(test: &Arc<dyn PhysicalExpr>) -> PerCode {
        PerCode::try_new(test, &Column::new("t", 1), &DataType::Utf8View).unwrap()
    }

    fn says(test: &PerCode, batch: &RecordBatch) -> Vec<Option<bool>> {
        let says = test.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap();
        says.as_boolean().iter().collect()
    }

    #[test]
    fn each_row_gets_what_the_condition_says_of_its_text() {
        let texts = vec![Some("MAIL"), Some("SHIP"), Some("AIR"), None];
        let rows = coded(vec![Some(2), None, Some(0), Some(1), Some(3)], texts);
        let mail = [Some(false), None, Some(true), Some(false), None];
        assert_eq!(says(&over(&is_mail()), &rows), mail);
        assert_eq!(says(&over(&is_mail()), &rows.slice(1, 3)), mail[1..4]);
        let null: Arc<dyn PhysicalExpr> = Arc::new(IsNullExpr::new(column()));
        assert_eq!(says(&over(&null), &rows), [false, true, false, false, true].map(Some));
        let plain = batch(Arc::new(StringArray::from(vec![Some("MAIL"), None])));
        assert_eq!(says(&over(&is_mail()), &plain), [Some(true), None]);
    }

    #[test]
    fn a_dictionary_is_looked_at_once_and_few_are_remembered() {
        let test = over(&is_mail());
        let rows = coded(vec![Some(0), Some(0), Some(1)], vec![Some("MAIL"), Some("AIR")]);
        says(&test, &rows.slice(0, 1));
        says(&test, &rows.slice(1, 2));
        assert_eq!(test.met.lock().len(), 1);
        for n in 0..2 * REMEMBERED {
            let text = format!("{n}");
            let rows = coded(vec![Some(1), Some(0)], vec![Some(&text), Some("MAIL")]);
            assert_eq!(says(&test, &rows), [Some(true), Some(false)]);
        }
        assert_eq!(test.met.lock().len(), REMEMBERED);
    }

    #[test]
    fn a_text_that_no_row_has_does_no_harm() {
        let number = Arc::new(CastExpr::new(column(), DataType::Int32, None));
        let test = over(&compared(number, Operator::Gt, ScalarValue::Int32(Some(5))));
        let texts = vec![Some("seven"), Some("7"), Some("3")];
        let rows = coded(vec![Some(1), Some(2), None], texts.clone());
        assert_eq!(says(&test, &rows), [Some(true), Some(false), None]);
        let error = test.evaluate(&coded(vec![Some(0)], texts)).unwrap_err().to_string();
        assert!(error.contains("seven"), "{error}");
    }
}
