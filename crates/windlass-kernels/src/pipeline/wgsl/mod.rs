//! Prints a kernel as WGSL. What an operation means in a row is in `shaders/pipeline`; the
//! modules that a kernel needs are put before it. Integers of up to 32 bits are `i32` and
//! `u32`, kept extended; 64-bit integers are the adapter's own or pairs of words, under one
//! set of names; 128-bit integers are four words.
//!
//! Every value is bound by `let`, so that nothing is a constant expression: WGSL makes an
//! overflow, a NaN or a division by zero in one of those an error.

use std::fmt::Write;

use crate::{
    column::Storage,
    ir::{BinaryOp, CastMode, Op, UnaryOp, ValueId},
    overrides,
    pipeline::{
        cuda::{ENTRY, find, width},
        fail,
        shape::{BLOCK, ITEMS, MaskLayout, STATUS_WORDS, Shape, Source, TILE},
    },
    types::PhysType,
};

mod expr;
use expr::{
    Kind, compared, constant, converted, extend, fits, is_smallest, is_zero, kind, name, param,
    subword, suffix, zero,
};

/// A module of `shaders/pipeline`.
macro_rules! module {
    ($name:literal) => {
        overrides::text(
            concat!("shaders/pipeline/", $name, ".wgsl"),
            include_str!(concat!("../../../../../shaders/pipeline/", $name, ".wgsl")),
        )
    };
}

/// The type of an output buffer's elements.
fn wide(ty: PhysType) -> &'static str {
    match ty {
        PhysType::Bool => "u32",
        ty => name(ty),
    }
}

/// The type of an input buffer's elements.
fn element(s: &Source) -> &'static str {
    match (s.layout.storage, s.layout.ty) {
        (
            Storage::Packed,
            PhysType::Bool | PhysType::I8 | PhysType::U8 | PhysType::I16 | PhysType::U16,
        ) => "u32",
        // The same as `I128`, which a kernel that takes the low half alone does not have.
        (_, PhysType::I128) => "vec4<u32>",
        (_, ty) => wide(ty),
    }
}

/// Whether a value is a function of `shaders/pipeline/math32.wgsl`.
fn needs_math32(shape: &Shape<'_>, id: ValueId) -> bool {
    let value = shape.program.value(id);
    let math = matches!(
        value.op,
        Op::Unary(UnaryOp::Math(_), ..) | Op::Binary(BinaryOp::Atan2 | BinaryOp::Hypot, ..)
    );
    math && value.ty == PhysType::F32
}

/// The whole text. `int64`: whether the adapter has 64-bit integers.
pub(crate) fn print(shape: &Shape<'_>, int64: bool) -> String {
    let types = || shape.values().map(|id| shape.program.ty(id));
    let (wide_ints, doubles) =
        (types().any(|t| t == PhysType::I128), types().any(|t| t == PhysType::F64));
    let mut text = module!("values").into_owned();
    if wide_ints || doubles || types().any(|t| kind(t) == Kind::Long) {
        text += &if int64 { module!("int64_native") } else { module!("int64_pair") };
        text += &module!("int64");
    }
    if doubles {
        text += &module!("float64");
    }
    if wide_ints {
        text += &module!("int128");
    }
    if shape.values().any(|id| needs_math32(shape, id)) {
        text += &module!("math32");
    }
    if wide_ints && doubles {
        text += &module!("int128_float64");
    }
    let mut binding = 0;
    let mut bind = |access: &str, name: &str, element: &str| {
        let _ = writeln!(
            text,
            "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{element}>;"
        );
        binding += 1;
    };
    for (kind, sources) in [("in", &shape.inputs), ("tab", &shape.tables)] {
        for s in sources {
            bind("read", &format!("{kind}{}", s.at), element(s));
            if s.layout.mask != MaskLayout::All {
                bind("read", &format!("{kind}m{}", s.at), "u32");
            }
        }
    }
    for (i, id) in shape.outputs.iter().enumerate() {
        bind("read_write", &format!("o{i}"), wide(shape.program.ty(*id)));
        if shape.nulls(*id) {
            bind("read_write", &format!("om{i}"), "u32");
        }
    }
    if shape.marks() {
        bind("read_write", "selected", "u32");
    }
    bind("read_write", "status", "atomic<u32>");
    let words = shape.params().div_ceil(4);
    let body = body(shape);
    let _ = write!(
        text,
        "@group(0) @binding({binding}) var<uniform> p: array<vec4<u32>, {words}>;\n\
         var<workgroup> ballots: array<atomic<u32>, 32>;\n\
         @compute @workgroup_size({BLOCK})\n\
         fn {ENTRY}(@builtin(workgroup_id) wid: vec3<u32>,\n\
         @builtin(num_workgroups) nwg: vec3<u32>,\n\
         @builtin(local_invocation_index) tid: u32) {{\n\
         let group = wid.x + wid.y * nwg.x;\n\
         let base = group * {TILE}u;\nlet rows = p[0][0];\n\
         if (base >= rows) {{ return; }}\nvar err = 0u;\n{body}\
         if (err != 0u) {{ atomicOr(&status[0], err); }}\n}}\n"
    );
    text
}

fn body(shape: &Shape<'_>) -> String {
    let mut p = Printer { shape, text: String::new() };
    let keep = match shape.filter {
        None => "true".to_string(),
        Some(f) => p.truth(f),
    };
    if shape.compacts() {
        // Eight words of ballots for each round, cleared at once: a barrier a round.
        p.line("if (tid < 32u) { atomicStore(&ballots[tid], 0u); }\nworkgroupBarrier();");
        p.line("var done = 0u;");
        p.line(&format!("for (var k = 0u; k < {ITEMS}u; k++) {{"));
        p.line(&format!("let row = base + k * {BLOCK}u + tid;"));
        p.line("let live = row < rows;\nlet r = select(0u, row, live);");
        shape.first.iter().for_each(|id| p.value(*id));
        p.line(&format!("let keep = live && {keep};"));
        p.line(
            "let word = tid >> 5u;\nlet lane = tid & 31u;\n\
             if (keep) { atomicOr(&ballots[k * 8u + word], 1u << lane); }\n\
             workgroupBarrier();\n\
             var to = base + done;\n\
             for (var w = 0u; w < 8u; w++) {\n\
             let ballot = atomicLoad(&ballots[k * 8u + w]);\n\
             let c = countOneBits(ballot);\n\
             if (w < word) { to += c; }\n\
             if (w == word) { to += countOneBits(ballot & ((1u << lane) - 1u)); }\n\
             done += c;\n}\n\
             if (keep) {",
        );
        shape.second.iter().for_each(|id| p.value(*id));
        p.outputs("to");
        p.line("}\n}");
        p.line(&format!(
            "if (tid == 0u) {{ atomicStore(&status[{STATUS_WORDS}u + group], done); }}"
        ));
        return p.text;
    }
    p.line(&format!("for (var k = 0u; k < {ITEMS}u; k++) {{"));
    p.line(&format!("let r = base + k * {BLOCK}u + tid;\nif (r < rows) {{"));
    shape.first.iter().for_each(|id| p.value(*id));
    if shape.marks() {
        p.line(&format!("let keep = {keep};\nselected[r] = select(0u, 1u, keep);\nif (keep) {{"));
    }
    shape.second.iter().for_each(|id| p.value(*id));
    p.outputs("r");
    p.line(if shape.marks() { "}\n}\n}" } else { "}\n}" });
    p.text
}

struct Printer<'s, 'p> {
    shape: &'s Shape<'p>,
    text: String,
}

impl Printer<'_, '_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn ty(&self, id: ValueId) -> PhysType {
        self.shape.program.ty(id)
    }

    /// Whether a boolean is true and not null.
    fn truth(&self, id: ValueId) -> String {
        match self.shape.nulls(id) {
            true => format!("(v{0} && n{0})", id.0),
            false => format!("v{}", id.0),
        }
    }

    /// Whether a value is not null.
    fn valid(&self, id: ValueId) -> String {
        match self.shape.nulls(id) {
            true => format!("n{}", id.0),
            false => "true".into(),
        }
    }

    fn outputs(&mut self, to: &str) {
        for (i, id) in self.shape.outputs.clone().into_iter().enumerate() {
            let value = match self.ty(id) {
                PhysType::Bool => format!("select(0u, 1u, v{})", id.0),
                _ => format!("v{}", id.0),
            };
            self.line(&format!("o{i}[{to}] = {value};"));
            if self.shape.nulls(id) {
                self.line(&format!("om{i}[{to}] = select(0u, 1u, n{});", id.0));
            }
        }
    }

    /// Raises `flag` where `condition` holds, the operands are valid and the guard is true.
    fn raise(&mut self, condition: &str, flag: u32, operands: &[ValueId], guard: Option<ValueId>) {
        let mut all = vec![format!("({condition})")];
        all.extend(operands.iter().filter(|o| self.shape.nulls(**o)).map(|o| self.valid(*o)));
        all.extend(guard.map(|g| self.truth(g)));
        self.line(&format!("if ({}) {{ err |= {flag}u; }}", all.join(" && ")));
    }

    /// The valid flag of an operation that is null where an operand is.
    fn strict(&mut self, id: ValueId, operands: &[ValueId]) {
        if self.shape.nulls(id) {
            let valid: Vec<_> =
                operands.iter().filter(|o| self.shape.nulls(**o)).map(|o| self.valid(*o)).collect();
            self.line(&format!("let n{} = {};", id.0, valid.join(" && ")));
        }
    }

    fn define(&mut self, id: ValueId, expression: &str) {
        self.line(&format!("let v{}: {} = {expression};", id.0, name(self.ty(id))));
    }

    fn value(&mut self, id: ValueId) {
        let value = self.shape.program.value(id).clone();
        match value.op {
            Op::Input(at) => {
                let source = *find(&self.shape.inputs, at);
                let text = self.load("in", &source, "r");
                self.define(id, &text);
                if let Some(text) = self.load_mask("in", &source, "r") {
                    self.line(&format!("let n{} = {text};", id.0));
                }
            }
            Op::Const(c) => self.define(id, &constant(c)),
            Op::Row => self.define(id, "r"),
            Op::Null => {
                self.define(id, &zero(value.ty));
                self.line(&format!("let n{} = false;", id.0));
            }
            Op::Unary(op, a, guard) => self.unary(id, op, a, guard),
            Op::Binary(op, a, b, guard) => self.binary(id, op, a, b, guard),
            Op::Cast(a, mode, guard) => self.cast(id, a, mode, guard),
            Op::Select(c, a, b) => {
                let c = self.truth(c);
                self.define(id, &format!("select(v{}, v{}, {c})", b.0, a.0));
                if self.shape.nulls(id) {
                    let (a, b) = (self.valid(a), self.valid(b));
                    self.line(&format!("let n{} = select({b}, {a}, {c});", id.0));
                }
            }
            Op::Lookup(table, index) => {
                let slot = self.shape.tables.iter().position(|s| s.at == table.0).unwrap_or(0);
                let source = self.shape.tables[slot];
                let at = format!("v{}", index.0);
                let length = param(self.shape.length_at(slot));
                let mask = self.load_mask("tab", &source, &at);
                let text = self.load("tab", &source, &at);
                // A null index is undefined: it is checked before the read.
                self.line(&format!("var v{}: {} = {};", id.0, name(value.ty), zero(value.ty)));
                let nulls = self.shape.nulls(id);
                if nulls {
                    self.line(&format!("var n{} = false;", id.0));
                }
                let valid = self.valid(index);
                self.line(&format!("if ({valid} && {at} < {length}) {{\nv{} = {text};", id.0));
                if nulls {
                    let mask = mask.unwrap_or_else(|| "true".into());
                    self.line(&format!("n{} = {mask};", id.0));
                }
                self.line("}");
            }
        }
    }

    fn bit(&self, buffer: &str, offset: Option<usize>, row: &str) -> String {
        let (word, shift) = self.shape.offset_at(offset.unwrap_or(0));
        let bit = format!("({row} + (({} >> {shift}u) & 7u))", param(word));
        format!("((({buffer}[{bit} >> 5u] >> ({bit} & 31u)) & 1u) != 0u)")
    }

    fn load(&self, table: &str, s: &Source, row: &str) -> String {
        let buffer = format!("{table}{}", s.at);
        let slots = match table {
            "in" => self.shape.program.inputs(),
            _ => self.shape.program.tables(),
        };
        match (s.layout.storage, s.layout.ty) {
            (Storage::Packed, PhysType::Bool) => self.bit(&buffer, s.value_offset, row),
            (Storage::Wide, PhysType::Bool) => format!("({buffer}[{row}] != 0u)"),
            (Storage::Packed, ty @ (PhysType::I8 | PhysType::U8)) => {
                subword(ty, &format!("{buffer}[{row} >> 2u]"), &format!("(({row} & 3u) * 8u)"))
            }
            (Storage::Packed, ty @ (PhysType::I16 | PhysType::U16)) => {
                subword(ty, &format!("{buffer}[{row} >> 1u]"), &format!("(({row} & 1u) * 16u)"))
            }
            (_, PhysType::I128) if slots[s.at as usize].ty == PhysType::I64 => {
                format!("i64_of({buffer}[{row}].x, {buffer}[{row}].y)")
            }
            _ => format!("{buffer}[{row}]"),
        }
    }

    fn load_mask(&self, table: &str, s: &Source, row: &str) -> Option<String> {
        let buffer = format!("{table}m{}", s.at);
        match s.layout.mask {
            MaskLayout::All => None,
            MaskLayout::Bits => Some(self.bit(&buffer, s.mask_offset, row)),
            MaskLayout::Words => Some(format!("({buffer}[{row}] != 0u)")),
        }
    }

    fn unary(&mut self, id: ValueId, op: UnaryOp, a: ValueId, guard: Option<ValueId>) {
        use UnaryOp as U;
        let ty = self.ty(a);
        let x = format!("v{}", a.0);
        let long = matches!(kind(ty), Kind::Long | Kind::Wide);
        let helper = |f: &str| format!("{f}_{}({x})", suffix(ty));
        let builtin = |f: &str| format!("{f}({x})");
        let text = match op {
            U::IsNull if self.shape.nulls(a) => format!("!n{}", a.0),
            U::IsNotNull if self.shape.nulls(a) => format!("n{}", a.0),
            U::IsNull => "false".into(),
            U::IsNotNull => "true".into(),
            U::Not => format!("!{x}"),
            U::Neg if ty.is_float() => format!("-{x}"),
            U::Neg if long => helper("neg"),
            U::Neg => extend(ty, &format!("0i - {x}")),
            U::Abs if ty.is_float() => builtin("abs"),
            U::Abs if long => helper("abs"),
            U::Abs => extend(ty, &helper("abs")),
            U::BitNot => extend(ty, &format!("~{x}")),
            U::Sqrt => helper("sqrt"),
            U::Exp => helper("exp"),
            U::Ln => helper("ln"),
            U::Log2 => helper("log2"),
            U::Log10 => helper("log10"),
            U::Floor => builtin("floor"),
            U::Ceil => builtin("ceil"),
            U::Round => helper("round"),
            U::Trunc => builtin("trunc"),
            U::Math(op) => helper(op.name()),
            U::YearOfDate => format!("civil({x}).x"),
            U::MonthOfDate => format!("civil({x}).y"),
            U::DayOfDate => format!("civil({x}).z"),
            U::MonthStart => builtin("month_start"),
        };
        self.define(id, &text);
        if op == U::Abs && ty.is_integer() {
            self.raise(&is_smallest(ty, &x), fail::ABSOLUTE, &[a], guard);
        }
        self.strict(id, &[a]);
    }

    fn binary(
        &mut self,
        id: ValueId,
        op: BinaryOp,
        a: ValueId,
        b: ValueId,
        guard: Option<ValueId>,
    ) {
        use BinaryOp as B;
        let ty = self.ty(a);
        let (x, y) = (format!("v{}", a.0), format!("v{}", b.0));
        let k = kind(ty);
        let helper = |f: &str| format!("{f}_{}({x}, {y})", suffix(ty));
        let long = matches!(k, Kind::Long | Kind::Wide);
        // An operator on words, a function on longer integers.
        let either = |o: &str, f: &str| match long {
            true => helper(f),
            false => extend(ty, &format!("{x} {o} {y}")),
        };
        let bits = width(ty).0;
        let count = match k {
            Kind::Signed => format!("(bitcast<u32>({y}) & {}u)", bits - 1),
            _ => format!("({y} & {}u)", bits - 1),
        };
        let text = match op {
            B::Rem if k == Kind::Float => helper("fmod"),
            B::Div if k == Kind::Float => format!("{x} / {y}"),
            B::Pow => helper("pow"),
            B::Atan2 => helper("atan2"),
            B::Hypot => helper("hypot"),
            B::FloatEq => helper("float_eq"),
            B::FloatLt => helper("float_lt"),
            B::FloatLe => helper("float_le"),
            B::Add | B::AddChecked => either("+", "add"),
            B::Sub | B::SubChecked => either("-", "sub"),
            B::Mul | B::MulChecked => either("*", "mul"),
            B::Div => extend(ty, &helper("div")),
            B::Rem => extend(ty, &helper("rem")),
            B::FloorDiv => extend(ty, &helper("floor_div")),
            B::FloorMod => extend(ty, &helper("floor_mod")),
            B::DivRound => extend(ty, &helper("div_round")),
            B::BitAnd => format!("{x} & {y}"),
            B::BitOr => format!("{x} | {y}"),
            B::BitXor => format!("{x} ^ {y}"),
            B::Shl if long => helper("shl"),
            B::Shl => extend(ty, &format!("({x} << {count})")),
            B::Shr if long => helper("shr"),
            B::Shr => format!("{x} >> {count}"),
            B::And | B::Or => {
                // A null operand counts as neither true nor false.
                let (tx, ty) = (self.truth(a), self.truth(b));
                let or = op == B::Or;
                self.define(id, &format!("{tx} {} {ty}", if or { "||" } else { "&&" }));
                if self.shape.nulls(id) {
                    let (nx, ny) = (self.valid(a), self.valid(b));
                    let decided = match or {
                        true => format!("({nx} && {ny})"),
                        false => format!("(({nx} && !{x}) || ({ny} && !{y}))"),
                    };
                    self.line(&format!("let n{0} = v{0} || {decided};", id.0));
                }
                return;
            }
            B::Distinct | B::NotDistinct => {
                let not = if op == B::NotDistinct { "!" } else { "" };
                let same = compared(ty, B::Eq, &x, &y);
                if self.shape.nulls(a) || self.shape.nulls(b) {
                    let (nx, ny) = (self.valid(a), self.valid(b));
                    format!("{not}(({nx} != {ny}) || ({nx} && {ny} && !({same})))")
                } else {
                    format!("{not}(!({same}))")
                }
            }
            B::Eq | B::Ne | B::Lt | B::Le | B::Gt | B::Ge => compared(ty, op, &x, &y),
        };
        self.define(id, &text);
        match op {
            B::Div | B::Rem if ty.is_integer() => {
                let zero = is_zero(ty, &y);
                self.raise(&zero, fail::DIVIDE_BY_ZERO, &[a, b], guard);
                if op == B::Div && ty.is_signed() {
                    let minus = match long {
                        true => format!("minus_one_{}({y})", suffix(ty)),
                        false => format!("{y} == -1i"),
                    };
                    let over = format!("{} && {minus}", is_smallest(ty, &x));
                    self.raise(&over, fail::DIVISION, &[a, b], guard);
                }
            }
            B::AddChecked | B::SubChecked | B::MulChecked => {
                let f = match op {
                    B::AddChecked => "add_over",
                    B::SubChecked => "sub_over",
                    _ => "mul_over",
                };
                self.raise(&helper(f), fail::ARITHMETIC, &[a, b], guard);
            }
            _ => {}
        }
        self.strict(id, &[a, b]);
    }

    fn cast(&mut self, id: ValueId, a: ValueId, mode: CastMode, guard: Option<ValueId>) {
        let (from, to) = (self.ty(a), self.ty(id));
        let x = format!("v{}", a.0);
        self.define(id, &converted(from, to, &x));
        match (mode, fits(from, to, &x, &format!("v{}", id.0))) {
            (CastMode::Error, Some(fits)) => {
                self.raise(&format!("!({fits})"), fail::CAST, &[a], guard);
                self.strict(id, &[a]);
            }
            (CastMode::Null, fits) => {
                let fits = fits.unwrap_or_else(|| "true".into());
                let valid = self.valid(a);
                self.line(&format!("let n{} = {valid} && ({fits});", id.0));
            }
            _ => self.strict(id, &[a]),
        }
    }
}
