//! The tasks behind delayed results, and the graph that is made of them.

use std::{
    collections::{HashMap, HashSet},
    fmt, mem,
    sync::Arc,
};

use crate::{
    futures::Wanted,
    graph::{Graph, GraphBuilder, GroupId, TaskId, TaskOptions, Value, Work},
    processes::Function,
    schedule::RunError,
};

/// What calls of one function share.
#[derive(Debug, Clone)]
pub(crate) struct GroupDef {
    pub(crate) name: Arc<str>,
    pub(crate) options: TaskOptions,
    /// What a call is where it runs in another process.
    pub(crate) function: Option<Arc<Function>>,
}

impl GroupDef {
    /// A group with the default options.
    pub(crate) fn named(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name: name.into(), options: TaskOptions::default(), function: None })
    }
}

/// What a node stands for.
pub(crate) enum What {
    /// A call.
    Call { group: Arc<GroupDef>, work: Work, inputs: Vec<Arc<Node>> },
    /// A value that is there.
    Value(Value),
    /// A task that was begun already.
    Future(Arc<Wanted>),
}

/// A task, or a value in the place of one.
pub struct Node {
    pub(crate) what: What,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.name()).finish()
    }
}

impl Node {
    pub(crate) fn call(group: Arc<GroupDef>, work: Work, inputs: Vec<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self { what: What::Call { group, work, inputs } })
    }

    /// A call of the same function for each input.
    pub(crate) fn map(name: &'static str, work: &Work, inputs: Vec<Arc<Self>>) -> Vec<Arc<Self>> {
        let group = GroupDef::named(name);
        let call = |input| Self::call(Arc::clone(&group), Arc::clone(work), vec![input]);
        inputs.into_iter().map(call).collect()
    }

    pub(crate) fn value(value: Value) -> Arc<Self> {
        Arc::new(Self { what: What::Value(value) })
    }

    pub(crate) fn future(future: Arc<Wanted>) -> Arc<Self> {
        Arc::new(Self { what: What::Future(future) })
    }

    pub(crate) fn name(&self) -> String {
        match &self.what {
            What::Call { group, .. } => group.name.to_string(),
            What::Value(_) => "value".into(),
            What::Future(f) => f.name().to_string(),
        }
    }

    /// The futures that it needs.
    pub(crate) fn awaited(self: &Arc<Self>) -> Vec<Arc<Wanted>> {
        let nodes = needed([self]).into_iter();
        nodes
            .filter_map(|n| match &n.what {
                What::Future(future) => Some(Arc::clone(future)),
                _ => None,
            })
            .collect()
    }

    fn inputs(&self) -> &[Arc<Self>] {
        match &self.what {
            What::Call { inputs, .. } => inputs,
            What::Value(_) | What::Future(_) => &[],
        }
    }
}

impl Drop for Node {
    /// Long chains are dropped one by one, not by recursion.
    fn drop(&mut self) {
        let What::Call { inputs, .. } = &mut self.what else { return };
        let mut left = mem::take(inputs);
        while let Some(node) = left.pop() {
            if let Some(mut node) = Arc::into_inner(node)
                && let What::Call { inputs, .. } = &mut node.what
            {
                left.append(inputs);
            }
        }
    }
}

/// All nodes that some need, each behind its inputs, once.
pub(crate) fn needed<'a>(wanted: impl IntoIterator<Item = &'a Arc<Node>>) -> Vec<&'a Arc<Node>> {
    let mut seen: HashSet<*const Node> = HashSet::new();
    let mut order = Vec::new();
    let mut stack: Vec<(&Arc<Node>, usize)> = Vec::new();
    for w in wanted {
        if seen.insert(Arc::as_ptr(w)) {
            stack.push((w, 0));
        }
        while let Some((node, at)) = stack.last_mut() {
            match node.inputs().get(*at) {
                Some(input) => {
                    *at += 1;
                    if seen.insert(Arc::as_ptr(input)) {
                        stack.push((input, 0));
                    }
                }
                None => {
                    order.push(*node);
                    stack.pop();
                }
            }
        }
    }
    order
}

/// The graph that gives the results of some nodes, in their order. Waits for futures in it.
pub(crate) fn graph_of<'a>(
    wanted: impl IntoIterator<Item = &'a Arc<Node>>,
) -> Result<Graph, RunError> {
    let wanted: Vec<&Arc<Node>> = wanted.into_iter().collect();
    let mut g = GraphBuilder::new();
    let mut groups: HashMap<*const GroupDef, GroupId> = HashMap::new();
    let mut ids: HashMap<*const Node, TaskId> = HashMap::new();
    let mut values = None;
    let mut inputs: Vec<TaskId> = Vec::new();
    for node in needed(wanted.iter().copied()) {
        let id = match &node.what {
            What::Call { group, work, inputs: own } => {
                let id = *groups.entry(Arc::as_ptr(group)).or_insert_with(|| {
                    let (name, options) = (Arc::clone(&group.name), group.options.clone());
                    g.group_with(name, options, group.function.clone())
                });
                inputs.clear();
                inputs.extend(own.iter().map(|i| ids[&Arc::as_ptr(i)]));
                g.shared(id, &inputs, Arc::clone(work))
            }
            What::Value(value) => {
                let group = *values.get_or_insert_with(|| g.group("value", TaskOptions::default()));
                let value = value.clone();
                g.task(group, &[], move |_| Ok(value.clone()))
            }
            What::Future(future) => {
                let group = g.group(Arc::clone(future.name()), TaskOptions::default());
                let value = future.wait()?;
                g.task(group, &[], move |_| Ok(value.clone()))
            }
        };
        ids.insert(Arc::as_ptr(node), id);
    }
    let wanted: Vec<TaskId> = wanted.iter().map(|w| ids[&Arc::as_ptr(w)]).collect();
    Ok(g.build(&wanted))
}
