//! The columns of Arrow IPC files, from their footers. The engine's own reading takes a file
//! of an object store for a stream and stumbles over the padding in front of its schema.

use std::{io::Cursor, sync::Arc};

use arrow::{
    datatypes::SchemaRef,
    error::ArrowError,
    ipc::{convert::fb_to_schema, reader::StreamReader, root_as_footer},
};
use datafusion::error::Result;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

/// The last bytes of a file: the footer's length, and these.
const MAGIC: &[u8] = b"ARROW1";
const TAIL: u64 = 4 + MAGIC.len() as u64;

/// The columns of a file, of the file or the stream format.
///
/// # Errors
/// The store's, and `ArrowError` for a file of neither format.
pub(super) async fn schema(store: &Arc<dyn ObjectStore>, file: &ObjectMeta) -> Result<SchemaRef> {
    let location = &file.location;
    let end = file.size.saturating_sub(TAIL);
    let tail = store.get_range(location, end..file.size).await?;
    if !tail.ends_with(MAGIC) {
        let bytes = store.get(location).await?.bytes().await?;
        return Ok(StreamReader::try_new(Cursor::new(bytes), None)?.schema());
    }
    let mut length = [0; 4];
    length.copy_from_slice(&tail[..4]);
    let length = u64::from(u32::from_le_bytes(length));
    let begin = end.checked_sub(length).ok_or_else(|| broken("it is cut off"))?;
    let footer = store.get_range(location, begin..end).await?;
    let footer = root_as_footer(&footer).map_err(|e| broken(&format!("its footer: {e:?}")))?;
    let schema = footer.schema().ok_or_else(|| broken("its footer has no schema"))?;
    Ok(Arc::new(fb_to_schema(schema)))
}

fn broken(what: &str) -> ArrowError {
    ArrowError::ParseError(what.to_string())
}
