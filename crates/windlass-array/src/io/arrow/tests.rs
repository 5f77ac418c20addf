//! Tests of Arrow's columns and tensors, there and back.

use std::sync::Arc;

use arrow_array::{
    Array as _, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array,
    RecordBatch, StringArray, types::Float32Type,
};
use arrow_schema::{DataType, Field, Schema, extension::EXTENSION_TYPE_METADATA_KEY};

use crate::{Array, DType, dtype::Kind};

#[test]
fn every_type_and_rank_comes_back() {
    for dtype in DType::ALL {
        for shape in [&[7][..], &[3, 4], &[2, 3, 4], &[0], &[0, 2]] {
            let n: usize = shape.iter().product();
            let x = Array::arange(0, n as i64, 1).unwrap().reshape(shape).unwrap().astype(dtype);
            let column = x.to_arrow("x");
            if dtype.kind() == Kind::Complex {
                assert!(column.unwrap_err().to_string().contains("complex"));
                continue;
            }
            let (field, column) = column.unwrap();
            let back = Array::from_arrow_field(column, &field, None).unwrap();
            assert_eq!((back.shape(), back.dtype()), (x.shape(), dtype));
            let equal = back.equal(&x).unwrap().all(..).unwrap().compute::<bool>().unwrap();
            assert!(equal.iter().all(|b| *b));
        }
    }
}

#[test]
fn memory_that_is_not_shared_is_not_copied() {
    let values: Vec<f64> = (0..100).map(f64::from).collect();
    let at = values.as_ptr() as usize;
    let x = Array::from_arrow(Arc::new(Float64Array::from(values))).unwrap();
    let (_, column) = x.to_arrow("x").unwrap();
    drop(x);
    let column = column.as_any().downcast_ref::<Float64Array>().unwrap().clone();
    assert_eq!(column.len(), 100);
    let values: Vec<f64> = (0..100).map(f64::from).collect();
    let own = values.as_ptr() as usize;
    let x = Array::from_arrow(Arc::new(Float64Array::from(values))).unwrap();
    let tile = x.compute_tile().unwrap();
    assert_eq!(tile.to_array::<f64>().unwrap()[[99]], 99.0);
    assert!(at != 0 && own != 0);
    let shared: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]));
    let part = Array::from_arrow(shared.slice(1, 2)).unwrap().compute::<f64>().unwrap();
    assert_eq!(part.as_slice().unwrap(), [2.0, 3.0]);
    assert_eq!(shared.len(), 3);
}

#[test]
fn nulls_are_nan_or_a_given_value_or_an_error() {
    let floats: ArrayRef = Arc::new(Float32Array::from(vec![Some(1.0), None]));
    let x = Array::from_arrow(floats.clone()).unwrap().compute::<f32>().unwrap();
    assert!(x[[0]] == 1.0 && x[[1]].is_nan());
    let field = Field::new("x", DataType::Float32, true);
    let x = Array::from_arrow_field(floats, &field, Some((-1.0).into())).unwrap();
    assert_eq!(x.compute::<f32>().unwrap()[[1]], -1.0);

    let integers: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(5), None]));
    let error = Array::from_arrow(integers.clone()).unwrap_err().to_string();
    assert!(error.contains("2 nulls") && error.contains("int32"), "{error}");
    let field = Field::new("x", DataType::Int32, true);
    let x = Array::from_arrow_field(integers, &field, Some(9.into())).unwrap();
    assert_eq!(x.compute::<i32>().unwrap().as_slice().unwrap(), [9, 5, 9]);

    let rows = [Some(vec![Some(1.0), None]), None, Some(vec![Some(3.0), Some(4.0)])];
    let lists: ArrayRef =
        Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows, 2));
    let x = Array::from_arrow(lists.slice(0, 3)).unwrap().compute::<f32>().unwrap();
    assert_eq!(x.shape(), [3, 2]);
    assert!(x[[0, 1]].is_nan() && x[[1, 0]].is_nan() && x[[1, 1]].is_nan() && x[[2, 1]] == 4.0);
    let x = Array::from_arrow(lists.slice(2, 1)).unwrap().compute::<f32>().unwrap();
    assert_eq!(x.as_slice().unwrap(), [3.0, 4.0]);
}

#[test]
fn tensors_have_their_shape_and_order() {
    let x = Array::arange(0, 12, 1).unwrap().reshape([2, 2, 3]).unwrap();
    let (field, column) = x.to_arrow("x").unwrap();
    let with = |text: &str| {
        let mut metadata = field.metadata().clone();
        metadata.insert(EXTENSION_TYPE_METADATA_KEY.into(), text.into());
        field.clone().with_metadata(metadata)
    };
    for wrong in [r#"{"shape": [2, 2]}"#, "", r#"{"shape": [2, 3], "permutation": [0, 0]}"#] {
        assert!(Array::from_arrow_field(column.clone(), &with(wrong), None).is_err(), "{wrong}");
    }
    let turned = with(r#"{"shape": [2, 3], "permutation": [1, 0]}"#);
    let back = Array::from_arrow_field(column, &turned, None).unwrap();
    assert_eq!(back.shape().as_slice(), [2, 3, 2]);
    let wanted = x.permute(&[0, 2, 1]).unwrap().compute::<i64>().unwrap();
    assert_eq!(back.compute::<i64>().unwrap(), wanted);
}

#[test]
fn batches_are_chunks() {
    let batch = |a: Vec<i32>, b: Vec<f64>| {
        let fields = vec![
            Field::new("a", DataType::Int32, false),
            Field::new("b", DataType::Float64, false),
            Field::new("c", DataType::Boolean, false),
        ];
        let c = BooleanArray::from(a.iter().map(|v| v % 2 == 0).collect::<Vec<_>>());
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(a)), Arc::new(Float64Array::from(b)), Arc::new(c)];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    let batches = [
        batch(vec![1, 2, 3], vec![0.5, 1.5, 2.5]),
        batch(vec![], vec![]),
        batch(vec![4], vec![3.5]),
    ];
    let a = Array::from_batches(&batches, "a", None).unwrap();
    assert_eq!(a.compute::<i32>().unwrap().as_slice().unwrap(), [1, 2, 3, 4]);
    assert_eq!(a.chunks().count(), 2);
    let all = Array::from_columns(&batches, &["a", "b", "c"], None).unwrap();
    assert_eq!((all.shape().as_slice(), all.dtype()), (&[4, 3][..], DType::F64));
    let back = all.to_columns(&["x", "y", "z"]).unwrap();
    let y = back.column_by_name("y").unwrap().as_any().downcast_ref::<Float64Array>().unwrap();
    assert_eq!(y.values().as_ref(), [0.5, 1.5, 2.5, 3.5]);
    let error = Array::from_batches(&batches, "d", None).unwrap_err().to_string();
    assert!(error.contains("\"d\"") && error.contains("\"b\""), "{error}");
    assert!(Array::from_batches(&[], "a", None).is_err());
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    assert!(Array::from_arrow(text).unwrap_err().to_string().contains("Utf8"));
}
