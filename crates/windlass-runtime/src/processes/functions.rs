//! Functions that worker processes can call: by name, with arguments and results as bytes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use crate::{
    delayed::{Arguments, Delayed, DelayedFn, Node, Run, TaskFn, TryTaskFn},
    graph::{
        BoxError, Portable, TaskContext, Value,
        packed::{decode, encode},
    },
};

/// The functions that tasks of other processes can be. An executor and its workers are the same
/// program: both make the same list, at the start of `main`, and then the workers stay in
/// [`Functions::serve_if_worker`].
///
/// ```
/// use windlass_runtime::{delayed::Synchronous, processes::Functions};
///
/// let mut functions = Functions::new();
/// let twice = functions.register("twice", |x: &u64| 2 * x);
/// let sum = functions.register_list("sum", |all: &[std::sync::Arc<u64>]| {
///     all.iter().map(|x| **x).sum::<u64>()
/// });
/// let total = sum.call(twice.map(0..4_u64));
/// // The same calls run in processes, on threads and on this thread.
/// assert_eq!(*total.compute_on(&Synchronous)?, 12);
/// # Ok::<_, windlass_runtime::schedule::RunError>(())
/// ```
#[derive(Debug, Default)]
pub struct Functions {
    by_name: BTreeMap<Arc<str>, Arc<Function>>,
}

/// Tuples of up to six types of arguments that can go to another process, and [`List`].
pub trait PortableArguments: 'static {
    /// The inputs of a task, of those types, as bytes.
    #[doc(hidden)]
    fn pack(inputs: &[Value]) -> Result<Vec<Packet>, BoxError>;

    /// What [`PortableArguments::pack`] gave, as values.
    #[doc(hidden)]
    fn unpack(packets: &[&[u8]]) -> Result<Vec<Value>, String>;
}

/// The arguments of a function of any number of results of one type.
#[derive(Debug)]
pub struct List<T>(std::marker::PhantomData<fn(T)>);

/// One argument as bytes: those in which it came from a process, or written now.
#[derive(Debug)]
pub struct Packet(Bytes);

#[derive(Debug)]
enum Bytes {
    Came(Value, fn(&Value) -> &[u8]),
    Written(Vec<u8>),
}

impl Packet {
    fn of<T: Portable>(inputs: &[Value], i: usize) -> Result<Self, BoxError> {
        let came = |v: &Value| v.as_packed().and_then(|p| p.bytes_of::<T>()).is_some();
        if let Some(value) = inputs.get(i).filter(|v| came(v)) {
            return Ok(Self(Bytes::Came(value.clone(), bytes_of::<T>)));
        }
        let value = inputs.get(i).and_then(Value::downcast_ref::<T>);
        let value = value.ok_or_else(|| {
            format!("input {i} of {} is no {}", inputs.len(), std::any::type_name::<T>())
        })?;
        Ok(Self(Bytes::Written(encode(value)?)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Came(value, bytes) => bytes(value),
            Bytes::Written(bytes) => bytes,
        }
    }
}

fn bytes_of<T: Portable>(value: &Value) -> &[u8] {
    value.as_packed().and_then(|p| p.bytes_of::<T>()).unwrap_or_default()
}

impl<T: Portable> PortableArguments for List<T> {
    fn pack(inputs: &[Value]) -> Result<Vec<Packet>, BoxError> {
        (0..inputs.len()).map(|i| Packet::of::<T>(inputs, i)).collect()
    }

    fn unpack(packets: &[&[u8]]) -> Result<Vec<Value>, String> {
        packets.iter().map(|p| decode::<T>(p).map(Value::new)).collect()
    }
}

impl<T, P: Into<Delayed<T>>> Arguments<List<T>> for Vec<P> {
    fn nodes(self) -> Vec<Arc<Node>> {
        self.into_iter().map(|p| p.into().node).collect()
    }
}

impl<T> Arguments<List<T>> for &[Delayed<T>] {
    fn nodes(self) -> Vec<Arc<Node>> {
        self.iter().map(|d| Arc::clone(&d.node)).collect()
    }
}

macro_rules! portable {
    ($(($($t:ident $i:tt),*)),+) => {$(
        impl<$($t: Portable),*> PortableArguments for ($($t,)*) {
            fn pack(_inputs: &[Value]) -> Result<Vec<Packet>, BoxError> {
                Ok(vec![$(Packet::of::<$t>(_inputs, $i)?),*])
            }

            fn unpack(packets: &[&[u8]]) -> Result<Vec<Value>, String> {
                let n = [$($i),*].len();
                if packets.len() != n {
                    return Err(format!("{} arguments came for {n}", packets.len()));
                }
                Ok(vec![$(Value::new(decode::<$t>(packets[$i])?)),*])
            }
        }
    )+};
}

portable!(
    (A 0),
    (A 0, B 1),
    (A 0, B 1, C 2),
    (A 0, B 1, C 2, D 3),
    (A 0, B 1, C 2, D 3, E 4),
    (A 0, B 1, C 2, D 3, E 4, F 5)
);

impl PortableArguments for () {
    fn pack(_inputs: &[Value]) -> Result<Vec<Packet>, BoxError> {
        Ok(Vec::new())
    }

    fn unpack(_packets: &[&[u8]]) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }
}

type Unpack = fn(&[&[u8]]) -> Result<Vec<Value>, String>;
type Call = Box<dyn Fn(&TaskContext<'_>) -> Result<Vec<u8>, BoxError> + Send + Sync>;

/// One function, without its types.
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    /// Its types: both sides must have the same.
    pub(crate) signature: String,
    pub(crate) pack: fn(&[Value]) -> Result<Vec<Packet>, BoxError>,
    unpack: Unpack,
    call: Call,
    /// The value of a result's bytes.
    pub(crate) result: fn(Vec<u8>) -> Value,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.signature)
    }
}

impl Function {
    /// Calls it in a worker: the result's bytes.
    pub(crate) fn run(
        &self,
        packets: &[&[u8]],
        number: u32,
        attempt: u32,
    ) -> Result<Vec<u8>, BoxError> {
        // A worker that is not to go on is killed, not told.
        static NEVER: AtomicBool = AtomicBool::new(false);
        let inputs = (self.unpack)(packets)?;
        (self.call)(&TaskContext {
            inputs: &inputs,
            number,
            attempt,
            device: "cpu",
            cancelled: &NEVER,
            timeout: None,
        })
    }
}

impl Functions {
    /// No functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes on a function of up to six arguments, under a name of its own: what comes back
    /// makes tasks of it, which run in worker processes on a
    /// [`ProcessExecutor`](super::ProcessExecutor) of these functions, and elsewhere in this
    /// process.
    ///
    /// # Panics
    /// If there is a function of that name.
    pub fn register<F, A, R>(&mut self, name: &str, f: F) -> DelayedFn<A, R>
    where
        F: TaskFn<A, R>,
        A: PortableArguments,
        R: Portable,
    {
        self.add(name, Arc::new(move |context: &TaskContext<'_>| f.call(context)))
    }

    /// As [`Functions::register`], of a function that may fail: an error is that of the task.
    /// From another process its text comes, and the text of its sources.
    ///
    /// # Panics
    /// If there is a function of that name.
    pub fn try_register<F, A, R>(&mut self, name: &str, f: F) -> DelayedFn<A, R>
    where
        F: TryTaskFn<A, R>,
        A: PortableArguments,
        R: Portable,
    {
        self.add(name, Arc::new(move |context: &TaskContext<'_>| f.try_call(context)))
    }

    /// As [`Functions::register`], of a function that takes any number of results of one type:
    /// it is called with a vector, or a slice, of them. They go to its worker one by one, as they
    /// came; the list that [`Delayed::all`] makes would be made here first, and written anew.
    ///
    /// # Panics
    /// If there is a function of that name.
    pub fn register_list<F, T, R>(&mut self, name: &str, f: F) -> DelayedFn<List<T>, R>
    where
        F: Fn(&[Arc<T>]) -> R + Send + Sync + 'static,
        T: Portable,
        R: Portable,
    {
        self.try_register_list(name, move |all: &[Arc<T>]| Ok::<R, BoxError>(f(all)))
    }

    /// As [`Functions::register_list`], of a function that may fail.
    ///
    /// # Panics
    /// If there is a function of that name.
    pub fn try_register_list<F, T, R, E>(&mut self, name: &str, f: F) -> DelayedFn<List<T>, R>
    where
        F: Fn(&[Arc<T>]) -> Result<R, E> + Send + Sync + 'static,
        T: Portable,
        R: Portable,
        E: Into<BoxError>,
    {
        let run = move |context: &TaskContext<'_>| {
            let n = context.inputs().len();
            let all = (0..n).map(|i| context.input_shared::<T>(i));
            f(&all.collect::<Result<Vec<_>, _>>()?).map_err(Into::into)
        };
        self.add(name, Arc::new(run))
    }

    fn add<A, R>(&mut self, name: &str, run: Run<R>) -> DelayedFn<A, R>
    where
        A: PortableArguments,
        R: Portable,
    {
        let own = Arc::clone(&run);
        let name: Arc<str> = name.into();
        let function = Arc::new(Function {
            name: Arc::clone(&name),
            signature: std::any::type_name::<fn(A) -> R>().to_string(),
            pack: A::pack,
            unpack: A::unpack,
            call: Box::new(move |context| Ok(encode(&own(context)?)?)),
            result: Value::packed::<R>,
        });
        let before = self.by_name.insert(Arc::clone(&name), Arc::clone(&function));
        assert!(before.is_none(), "there are two functions with the name {name}");
        DelayedFn::new(name, run).in_processes(function)
    }

    /// The functions in the order of their names.
    pub(crate) fn in_order(&self) -> Vec<Arc<Function>> {
        self.by_name.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{delayed::Synchronous, execute::Executor};

    #[test]
    fn without_processes_they_are_functions_like_others() {
        let mut functions = Functions::new();
        let add = functions.register("add", |a: &u64, b: &u64| a + b).retries(1);
        let none = functions.register("none", || 7_u64);
        let most = functions.try_register_list("most", |all: &[Arc<u64>]| {
            all.iter().map(|x| **x).max().ok_or("there are none")
        });
        let sum = add.call((1, &none.call(())));
        let largest = most.call(&[sum.clone(), none.call(()), 3.into()][..]);
        assert_eq!(*largest.compute_on(&Synchronous).unwrap(), 8);
        assert_eq!(*largest.compute_on(Executor::global()).unwrap(), 8);
        let error = most.call(Vec::<Delayed<u64>>::new()).compute_on(&Synchronous).unwrap_err();
        assert_eq!(error.to_string(), "task most[0] failed: there are none");
    }

    #[test]
    #[should_panic(expected = "two functions with the name twice")]
    fn a_name_is_given_once() {
        let mut functions = Functions::new();
        functions.register("twice", |x: &u64| 2 * x);
        functions.register("twice", |x: &u32| 2 * x);
    }

    #[test]
    fn arguments_go_as_they_came_or_are_written() {
        let came = Value::packed::<u64>(encode(&300_u64).unwrap());
        let inputs = [came, Value::new(5_u64), Value::new("text".to_string())];
        let packets = <(u64, u64, String)>::pack(&inputs).unwrap();
        assert!(matches!(packets[0].0, Bytes::Came(..)));
        let bytes: Vec<&[u8]> = packets.iter().map(Packet::bytes).collect();
        let values = <(u64, u64, String)>::unpack(&bytes).unwrap();
        assert_eq!(values[0].downcast_ref(), Some(&300_u64));
        assert_eq!(values[2].downcast_ref::<String>().unwrap(), "text");
        let error = <(u64, u64)>::pack(&inputs[1..]).unwrap_err().to_string();
        assert_eq!(error, "input 1 of 2 is no u64");
        let error = <(u64, u64)>::unpack(&bytes).unwrap_err();
        assert_eq!(error, "3 arguments came for 2");
    }
}
