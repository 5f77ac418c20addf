//! What tasks give, and what they see while they run.

use std::{
    any::{Any, type_name},
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{BoxError, packed::Packed};

/// A result that can wait on disk for its consumers.
pub trait Spill: Any + Send + Sync + Sized {
    /// Bytes that it takes in memory.
    fn bytes(&self) -> u64;

    /// Writes it.
    ///
    /// # Errors
    /// Those of the writer.
    fn write(&self, to: &mut dyn io::Write) -> io::Result<()>;

    /// Reads what [`Spill::write`] wrote.
    ///
    /// # Errors
    /// Those of the reader, and for what no `write` wrote.
    fn read(from: &mut dyn io::Read) -> io::Result<Self>;
}

/// How a type is written and read; one for each type.
#[derive(Debug)]
pub(crate) struct Codec {
    pub(crate) write: fn(&(dyn Any + Send + Sync), &mut dyn io::Write) -> io::Result<()>,
    pub(crate) read: fn(&mut dyn io::Read) -> io::Result<Arc<dyn Any + Send + Sync>>,
}

/// The codec of a type.
trait Coded {
    const CODEC: &'static Codec;
}

impl<T: Spill> Coded for T {
    const CODEC: &'static Codec = &Codec {
        write: |value, to| match value.downcast_ref::<T>() {
            Some(value) => value.write(to),
            None => Err(io::Error::other("a value of another type than its codec's")),
        },
        read: |from| Ok(Arc::new(T::read(from)?)),
    };
}

/// The result of a task: any type, shared by its consumers. Clones share it.
#[derive(Clone)]
pub struct Value {
    data: Arc<dyn Any + Send + Sync>,
    bytes: u64,
    codec: Option<&'static Codec>,
}

impl Value {
    /// A value that takes the bytes of its type. What it points to is not counted: say that
    /// by [`Value::sized`].
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Self { bytes: size_of::<T>() as u64, data: Arc::new(value), codec: None }
    }

    /// A value that takes that many bytes, with all that it points to.
    pub fn sized<T: Any + Send + Sync>(value: T, bytes: u64) -> Self {
        Self { data: Arc::new(value), bytes, codec: None }
    }

    /// A value that may be written to disk until a consumer needs it, where memory is short.
    pub fn spillable<T: Spill>(value: T) -> Self {
        Self { bytes: value.bytes(), data: Arc::new(value), codec: Some(T::CODEC) }
    }

    /// A value that is shared already.
    pub fn shared<T: Any + Send + Sync>(value: Arc<T>) -> Self {
        Self { bytes: size_of::<T>() as u64, data: value, codec: None }
    }

    /// A value with the codec of its type.
    pub(super) fn coded(
        data: Arc<dyn Any + Send + Sync>,
        bytes: u64,
        codec: &'static Codec,
    ) -> Self {
        Self { data, bytes, codec: Some(codec) }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The value, if it is of that type. What came from another process is decoded the first
    /// time.
    pub fn downcast<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let own = Arc::clone(&self.data).downcast().ok();
        own.or_else(|| Arc::clone(self.as_packed()?.value().ok()?).downcast().ok())
    }

    /// The value, if it is of that type. What came from another process is decoded the first
    /// time.
    pub fn downcast_ref<T: Any + Send + Sync>(&self) -> Option<&T> {
        let own = self.data.downcast_ref();
        own.or_else(|| self.as_packed()?.value().ok()?.downcast_ref())
    }

    /// The bytes from another process that it is.
    pub(crate) fn as_packed(&self) -> Option<&Packed> {
        self.data.downcast_ref()
    }

    /// Why it cannot be decoded, if it came from another process and cannot.
    pub(crate) fn undecodable(&self) -> Option<String> {
        self.as_packed()?.value().err().map(str::to_string)
    }

    pub(crate) fn codec(&self) -> Option<&'static Codec> {
        self.codec
    }

    pub(crate) fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let codec = self.codec.ok_or_else(|| io::Error::other("a value that cannot spill"))?;
        (codec.write)(&*self.data, to)
    }

    pub(crate) fn read(
        codec: &'static Codec,
        bytes: u64,
        from: &mut dyn io::Read,
    ) -> io::Result<Self> {
        Ok(Self { data: (codec.read)(from)?, bytes, codec: Some(codec) })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// What a task's function sees.
#[derive(Debug)]
pub struct TaskContext<'a> {
    pub(crate) inputs: &'a [Value],
    pub(crate) number: u32,
    pub(crate) attempt: u32,
    pub(crate) device: &'a str,
    pub(crate) cancelled: &'a AtomicBool,
    pub(crate) timeout: Option<Duration>,
}

impl TaskContext<'_> {
    /// The results that the task takes.
    pub fn inputs(&self) -> &[Value] {
        self.inputs
    }

    /// One of them, as its type.
    ///
    /// # Errors
    /// If there is no such input, or it is of another type.
    pub fn input<T: Any + Send + Sync>(&self, i: usize) -> Result<&T, BoxError> {
        let have = self.inputs.len();
        let value =
            self.inputs.get(i).ok_or_else(|| format!("input {i} of {have} was asked for"))?;
        let told = || format!("input {i} is no {}", type_name::<T>());
        let failed = || value.undecodable().map_or_else(told, |e| format!("input {i}: {e}"));
        Ok(value.downcast_ref().ok_or_else(failed)?)
    }

    /// One of them, shared, as its type.
    ///
    /// # Errors
    /// As [`TaskContext::input`].
    pub fn input_shared<T: Any + Send + Sync>(&self, i: usize) -> Result<Arc<T>, BoxError> {
        self.input::<T>(i)?;
        Ok(self.inputs[i].downcast().expect("its type was tested"))
    }

    /// The task's number in its group.
    pub fn number(&self) -> usize {
        self.number as usize
    }

    /// Which try this is; the first is 1. Tries in which a worker process died do not count.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The name of the device that it runs on.
    pub fn device(&self) -> &str {
        self.device
    }

    /// Whether the job was cancelled: a long task asks now and then, and returns early.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// How long this try may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}
