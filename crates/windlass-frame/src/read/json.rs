//! The columns of JSON lines, from a sample.

use arrow::{
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
    json::reader::infer_json_schema,
};

use super::{options::JsonOptions, sample::Sample};
use crate::error::{FrameError, Result};

/// Infers the columns from samples; `declared` types win.
///
/// # Errors
/// [`FrameError::MalformedRow`] for a first line that is no JSON object.
pub(crate) fn infer(options: &JsonOptions, samples: &[Sample]) -> Result<SchemaRef> {
    let each = (options.sample_rows / samples.len().max(1)).max(1);
    let mut merged: Vec<Field> = Vec::new();
    for sample in samples {
        let end = match sample.head.iter().rposition(|b| *b == b'\n') {
            Some(last) if !sample.whole => last + 1,
            _ => sample.head.len(),
        };
        let (schema, _) = infer_json_schema(&sample.head[..end], Some(each))
            .map_err(|e| super::diagnose::json_text(&sample.path, &sample.head[..end], &e))?;
        for field in schema.fields() {
            add(&mut merged, field);
        }
    }
    for (name, kind) in &options.schema {
        match merged.iter_mut().find(|f| f.name() == name) {
            Some(field) => *field = Field::new(name, kind.clone(), true),
            None => merged.push(Field::new(name, kind.clone(), true)),
        }
    }
    if merged.is_empty() {
        return Err(FrameError::Plan("no JSON object to infer columns from".to_string()));
    }
    Ok(Schema::new(merged).into())
}

fn add(all: &mut Vec<Field>, field: &Field) {
    match all.iter_mut().find(|f| f.name() == field.name()) {
        Some(known) => {
            *known = Field::new(field.name(), widen(known.data_type(), field.data_type()), true);
        }
        None => all.push(field.clone().with_nullable(true)),
    }
}

/// The narrowest type that both fit; text where there is no other.
fn widen(a: &DataType, b: &DataType) -> DataType {
    use DataType::{Float64, Int64, List, Null, Struct, Utf8};
    match (a, b) {
        (a, b) if a == b => a.clone(),
        (Null, x) | (x, Null) => x.clone(),
        (Int64, Float64) | (Float64, Int64) => Float64,
        (Struct(a), Struct(b)) => {
            let mut fields: Vec<Field> = a.iter().map(|f| f.as_ref().clone()).collect();
            for field in b {
                add(&mut fields, field);
            }
            Struct(Fields::from(fields))
        }
        (List(a), List(b)) => {
            List(Field::new(a.name(), widen(a.data_type(), b.data_type()), true).into())
        }
        _ => Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(path: &str, text: &str) -> Sample {
        let head = text.as_bytes().to_vec();
        Sample { path: path.to_string(), head, whole: true, parts: Vec::new() }
    }

    #[test]
    fn files_widen_each_other() {
        let all = [sample("a", "{\"x\":1,\"y\":\"a\"}\n"), sample("b", "{\"x\":2.5,\"z\":true}\n")];
        let schema = infer(&JsonOptions::default(), &all).unwrap();
        assert_eq!(schema.field_with_name("x").unwrap().data_type(), &DataType::Float64);
        assert_eq!(schema.field_with_name("z").unwrap().data_type(), &DataType::Boolean);
        assert_eq!(schema.fields().len(), 3);
    }

    #[test]
    fn a_line_that_is_no_object_is_named() {
        let e = infer(&JsonOptions::default(), &[sample("a.json", "{\"x\":1}\n{\"x\":\n")]);
        let e = e.unwrap_err().to_string();
        assert!(e.starts_with("a.json, line 2: expected one JSON object"), "{e}");
    }
}
