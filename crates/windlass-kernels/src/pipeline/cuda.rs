//! Prints a kernel as CUDA C++, in the dialect of `kernels/include/windlass.cuh`. What an
//! operation means in a row is in `kernels/pipeline/values.cuh`.

use std::fmt::Write;

use crate::{
    column::Storage,
    ir::{BinaryOp, CastMode, Op, UnaryOp, ValueId},
    pipeline::{
        fail,
        shape::{BLOCK, ITEMS, MaskLayout, STATUS_WORDS, Shape, Source, TILE},
    },
    types::{PhysType, Scalar},
};

/// The entry point of a generated kernel.
pub(crate) const ENTRY: &str = "filter_project";

/// The C++ type of a value in a register.
fn name(ty: PhysType) -> &'static str {
    match ty {
        PhysType::Bool => "bool",
        PhysType::I8 => "i8",
        PhysType::I16 => "i16",
        PhysType::I32 => "i32",
        PhysType::I64 => "i64",
        PhysType::U8 => "u8",
        PhysType::U16 => "u16",
        PhysType::U32 => "u32",
        PhysType::U64 => "u64",
        PhysType::F32 => "f32",
        PhysType::F64 => "f64",
        PhysType::I128 => "i128",
    }
}

/// The C++ type of a value in an output buffer.
fn wide(ty: PhysType) -> &'static str {
    match ty {
        PhysType::Bool | PhysType::U8 | PhysType::U16 => "u32",
        PhysType::I8 | PhysType::I16 => "i32",
        ty => name(ty),
    }
}

/// The whole text.
pub(crate) fn print(shape: &Shape<'_>) -> String {
    let mut parameters = String::new();
    for (kind, sources) in [("in", &shape.inputs), ("tab", &shape.tables)] {
        for s in sources {
            let _ = write!(parameters, "const {}* {kind}{}, ", element(s), s.at);
            match s.layout.mask {
                MaskLayout::All => {}
                MaskLayout::Bits => {
                    let _ = write!(parameters, "const u8* {kind}m{}, ", s.at);
                }
                MaskLayout::Words => {
                    let _ = write!(parameters, "const u32* {kind}m{}, ", s.at);
                }
            }
        }
    }
    for (i, id) in shape.outputs.iter().enumerate() {
        let _ = write!(parameters, "{}* o{i}, ", wide(shape.program.ty(*id)));
        if shape.nulls(*id) {
            let _ = write!(parameters, "u32* om{i}, ");
        }
    }
    if shape.marks() {
        parameters.push_str("u32* selected, ");
    }
    let words = shape.params();
    let body = body(shape);
    format!(
        "#include \"windlass.cuh\"\n#include \"pipeline/values.cuh\"\n\
         struct Params {{ u32 w[{words}]; }};\n\
         extern \"C\" __global__ void __launch_bounds__({BLOCK})\n\
         {ENTRY}({parameters}u32* status, Params p) {{\n\
         const u32 rows = p.w[0], base = blockIdx.x * {TILE}u;\nu32 err = 0;\n{body}\
         if (err != 0) atomicOr(&status[0], err);\n}}\n"
    )
}

fn body(shape: &Shape<'_>) -> String {
    let mut p = Printer { shape, text: String::new() };
    let keep = match shape.filter {
        None => "true".to_string(),
        Some(f) => p.truth(f),
    };
    if shape.compacts() {
        // Two halves of `warps` in turn: one barrier a round keeps writers and readers apart.
        p.line("W_SHARED(u32, warps, 16);\nu32 done = 0;");
        p.line(&format!("for (u32 k = 0; k < {ITEMS}u; ++k) {{"));
        p.line(&format!("const u32 row = base + k * {BLOCK}u + threadIdx.x;"));
        p.line("const bool live = row < rows;\nconst u32 r = live ? row : 0u;");
        shape.first.iter().for_each(|id| p.value(*id));
        p.line(&format!("const bool keep = live && {keep};"));
        p.line(
            "const u32 ballot = W_BALLOT(keep), half = (k & 1u) * 8u;\n\
             if (W_LANE == 0) warps[half + W_WARP_ID] = W_POPC(ballot);\n\
             W_SYNC();\n\
             u32 to = base + done + W_POPC(ballot & ((1u << W_LANE) - 1u));\n\
             for (u32 w = 0; w < 8u; ++w) {\n\
             const u32 c = warps[half + w];\nif (w < W_WARP_ID) to += c;\ndone += c;\n}\n\
             if (keep) {",
        );
        shape.second.iter().for_each(|id| p.value(*id));
        p.outputs("to");
        p.line("}\n}");
        p.line(&format!("if (threadIdx.x == 0) status[{STATUS_WORDS}u + blockIdx.x] = done;"));
        return p.text;
    }
    p.line(&format!("for (u32 k = 0; k < {ITEMS}u; ++k) {{"));
    p.line(&format!("const u32 r = base + k * {BLOCK}u + threadIdx.x;\nif (r < rows) {{"));
    shape.first.iter().for_each(|id| p.value(*id));
    if shape.marks() {
        p.line(&format!("const bool keep = {keep};\nselected[r] = keep ? 1u : 0u;\nif (keep) {{"));
    }
    shape.second.iter().for_each(|id| p.value(*id));
    p.outputs("r");
    p.line(if shape.marks() { "}\n}\n}" } else { "}\n}" });
    p.text
}

/// The C++ type of an input buffer's elements.
fn element(s: &Source) -> &'static str {
    match (s.layout.storage, s.layout.ty) {
        (Storage::Packed, PhysType::Bool) => "u8",
        (Storage::Packed, ty) => name(ty),
        (Storage::Wide, ty) => wide(ty),
    }
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

    /// Writes the outputs at row `to`.
    fn outputs(&mut self, to: &str) {
        for (i, id) in self.shape.outputs.clone().into_iter().enumerate() {
            let ty = wide(self.ty(id));
            self.line(&format!("o{i}[{to}] = {ty}(v{});", id.0));
            if self.shape.nulls(id) {
                self.line(&format!("om{i}[{to}] = n{} ? 1u : 0u;", id.0));
            }
        }
    }

    /// Raises `flag` where `condition` holds, the operands are valid and the guard is true.
    fn raise(&mut self, condition: &str, flag: u32, operands: &[ValueId], guard: Option<ValueId>) {
        let mut all = vec![condition.to_string()];
        all.extend(operands.iter().filter(|o| self.shape.nulls(**o)).map(|o| self.valid(*o)));
        all.extend(guard.map(|g| self.truth(g)));
        self.line(&format!("if ({}) err |= {flag}u;", all.join(" && ")));
    }

    /// The valid flag of an operation that is null where an operand is.
    fn strict(&mut self, id: ValueId, operands: &[ValueId]) {
        if self.shape.nulls(id) {
            let valid: Vec<_> =
                operands.iter().filter(|o| self.shape.nulls(**o)).map(|o| self.valid(*o)).collect();
            self.line(&format!("const bool n{} = {};", id.0, valid.join(" && ")));
        }
    }

    fn define(&mut self, id: ValueId, expression: &str) {
        self.line(&format!("const {} v{} = {expression};", name(self.ty(id)), id.0));
    }

    fn value(&mut self, id: ValueId) {
        let value = self.shape.program.value(id).clone();
        match value.op {
            Op::Input(at) => {
                let source = *find(&self.shape.inputs, at);
                let text = self.load("in", &source, "r");
                self.define(id, &text);
                if let Some(text) = self.load_mask("in", &source, "r") {
                    self.line(&format!("const bool n{} = {text};", id.0));
                }
            }
            Op::Const(c) => self.define(id, &constant(c)),
            Op::Row => self.define(id, "r"),
            Op::Null => {
                self.define(id, &format!("{}(0)", name(value.ty)));
                self.line(&format!("const bool n{} = false;", id.0));
            }
            Op::Unary(op, a, guard) => self.unary(id, op, a, guard),
            Op::Binary(op, a, b, guard) => self.binary(id, op, a, b, guard),
            Op::Cast(a, mode, guard) => self.cast(id, a, mode, guard),
            Op::Select(c, a, b) => {
                let c = self.truth(c);
                self.define(id, &format!("{c} ? v{} : v{}", a.0, b.0));
                if self.shape.nulls(id) {
                    let (a, b) = (self.valid(a), self.valid(b));
                    self.line(&format!("const bool n{} = {c} ? {a} : {b};", id.0));
                }
            }
            Op::Lookup(table, index) => {
                let slot = self.shape.tables.iter().position(|s| s.at == table.0).unwrap_or(0);
                let source = self.shape.tables[slot];
                // A null index is undefined: it is checked before the read.
                let length = self.shape.length_at(slot);
                let valid = self.valid(index);
                self.line(&format!(
                    "const bool q{0} = {valid} && v{1} < p.w[{length}];",
                    id.0, index.0
                ));
                let at = format!("v{}", index.0);
                let text = self.load("tab", &source, &at);
                self.define(id, &format!("q{} ? {text} : {}(0)", id.0, name(value.ty)));
                if self.shape.nulls(id) {
                    let mask = self.load_mask("tab", &source, &at);
                    let mask = mask.map_or(String::new(), |m| format!(" && {m}"));
                    self.line(&format!("const bool n{0} = q{0}{mask};", id.0));
                }
            }
        }
    }

    fn bit(&self, buffer: &str, offset: Option<usize>, row: &str) -> String {
        let (word, shift) = self.shape.offset_at(offset.unwrap_or(0));
        let bit = format!("({row} + ((p.w[{word}] >> {shift}u) & 7u))");
        format!("((({buffer}[{bit} >> 3]) >> ({bit} & 7u)) & 1u) != 0u")
    }

    fn load(&self, kind: &str, s: &Source, row: &str) -> String {
        let buffer = format!("{kind}{}", s.at);
        let layout = s.layout;
        let slots = match kind {
            "in" => self.shape.program.inputs(),
            _ => self.shape.program.tables(),
        };
        match (layout.storage, layout.ty) {
            (Storage::Packed, PhysType::Bool) => {
                format!("({})", self.bit(&buffer, s.value_offset, row))
            }
            (Storage::Wide, PhysType::Bool) => format!("({buffer}[{row}] != 0u)"),
            _ => format!("{}({buffer}[{row}])", name(slots[s.at as usize].ty)),
        }
    }

    fn load_mask(&self, kind: &str, s: &Source, row: &str) -> Option<String> {
        let buffer = format!("{kind}m{}", s.at);
        match s.layout.mask {
            MaskLayout::All => None,
            MaskLayout::Bits => Some(self.bit(&buffer, s.mask_offset, row)),
            MaskLayout::Words => Some(format!("({buffer}[{row}] != 0u)")),
        }
    }

    fn unary(&mut self, id: ValueId, op: UnaryOp, a: ValueId, guard: Option<ValueId>) {
        use UnaryOp as U;
        let ty = self.ty(a);
        let (x, suffix) = (format!("v{}", a.0), if ty == PhysType::F32 { "f" } else { "" });
        let call = |f: &str| format!("{f}({x})");
        let math = |f: &str| format!("{f}{suffix}({x})");
        let text = match op {
            U::IsNull if self.shape.nulls(a) => format!("!n{}", a.0),
            U::IsNotNull if self.shape.nulls(a) => format!("n{}", a.0),
            U::IsNull => "false".into(),
            U::IsNotNull => "true".into(),
            U::Not => format!("!{x}"),
            U::Neg if ty.is_float() => format!("-{x}"),
            U::Neg => call("w_neg"),
            U::Abs if ty.is_float() => math("fabs"),
            U::Abs => call("w_abs"),
            U::BitNot => format!("{}(~{x})", name(ty)),
            U::Sqrt => math("sqrt"),
            U::Exp => math("exp"),
            U::Ln => math("log"),
            U::Log2 => math("log2"),
            U::Log10 => math("log10"),
            U::Floor => math("floor"),
            U::Ceil => math("ceil"),
            U::Round => math("round"),
            U::Trunc => math("trunc"),
            U::Math(op) => math(op.name()),
            U::YearOfDate => call("w_year"),
            U::MonthOfDate => call("w_month"),
            U::DayOfDate => call("w_day"),
            U::MonthStart => call("w_month_start"),
        };
        self.define(id, &text);
        if op == U::Abs && ty.is_integer() {
            let smallest = smallest(ty);
            self.raise(&format!("{x} == {smallest}"), fail::ABSOLUTE, &[a], guard);
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
        let (x, y, n) = (format!("v{}", a.0), format!("v{}", b.0), name(ty));
        let float = ty.is_float();
        let suffix = if ty == PhysType::F32 { "f" } else { "" };
        let call = |f: &str| format!("{f}<{n}>({x}, {y})");
        let infix = |o: &str| format!("{x} {o} {y}");
        let text = match op {
            B::Add if float => infix("+"),
            B::Sub if float => infix("-"),
            B::Mul if float => infix("*"),
            B::Div if float => infix("/"),
            B::Rem if float => format!("fmod{suffix}({x}, {y})"),
            B::Pow => format!("pow{suffix}({x}, {y})"),
            B::Atan2 => format!("atan2{suffix}({x}, {y})"),
            B::Hypot => format!("hypot{suffix}({x}, {y})"),
            B::FloatEq => infix("=="),
            B::FloatLt => infix("<"),
            B::FloatLe => infix("<="),
            B::Add | B::AddChecked => call("w_add"),
            B::Sub | B::SubChecked => call("w_sub"),
            B::Mul | B::MulChecked => call("w_mul"),
            B::Div => call("w_div"),
            B::Rem => call("w_rem"),
            B::FloorDiv => call("w_floor_div"),
            B::FloorMod => call("w_floor_mod"),
            B::DivRound => call("w_div_round"),
            B::BitAnd => format!("{n}({x} & {y})"),
            B::BitOr => format!("{n}({x} | {y})"),
            B::BitXor => format!("{n}({x} ^ {y})"),
            B::Shl => call("w_shl"),
            B::Shr => call("w_shr"),
            B::And | B::Or => {
                // A null operand counts as neither true nor false.
                let (tx, ty) = (self.truth(a), self.truth(b));
                let or = op == B::Or;
                self.define(id, &format!("{tx} {} {ty}", if or { "||" } else { "&&" }));
                if self.shape.nulls(id) {
                    let (nx, ny) = (self.valid(a), self.valid(b));
                    let decided = match or {
                        true => format!("({nx} && {ny})"),
                        false => format!("({nx} && !{x}) || ({ny} && !{y})"),
                    };
                    self.line(&format!("const bool n{0} = v{0} || {decided};", id.0));
                }
                return;
            }
            B::Distinct | B::NotDistinct => {
                let not = if op == B::NotDistinct { "!" } else { "" };
                let compared = compared(ty, "!=", &x, &y);
                if self.shape.nulls(a) || self.shape.nulls(b) {
                    let (nx, ny) = (self.valid(a), self.valid(b));
                    format!("{not}(({nx} != {ny}) || ({nx} && {ny} && {compared}))")
                } else {
                    format!("{not}({compared})")
                }
            }
            B::Ne => compared(ty, "!=", &x, &y),
            B::Lt => compared(ty, "<", &x, &y),
            B::Le => compared(ty, "<=", &x, &y),
            B::Gt => compared(ty, ">", &x, &y),
            B::Ge => compared(ty, ">=", &x, &y),
            B::Eq => compared(ty, "==", &x, &y),
        };
        self.define(id, &text);
        match op {
            B::Div | B::Rem if ty.is_integer() => {
                let zero = format!("{y} == {n}(0)");
                self.raise(&zero, fail::DIVIDE_BY_ZERO, &[a, b], guard);
                if op == B::Div && ty.is_signed() {
                    let over = format!("{x} == {} && {y} == {n}(-1)", smallest(ty));
                    self.raise(&over, fail::DIVISION, &[a, b], guard);
                }
            }
            B::AddChecked => self.raise(&call("w_add_over"), fail::ARITHMETIC, &[a, b], guard),
            B::SubChecked => self.raise(&call("w_sub_over"), fail::ARITHMETIC, &[a, b], guard),
            B::MulChecked => {
                self.raise(&format!("w_mul_over({x}, {y})"), fail::ARITHMETIC, &[a, b], guard);
            }
            _ => {}
        }
        // The distinct pair is never null, so this is nothing there.
        self.strict(id, &[a, b]);
    }

    fn cast(&mut self, id: ValueId, a: ValueId, mode: CastMode, guard: Option<ValueId>) {
        let (from, to) = (self.ty(a), self.ty(id));
        let x = format!("v{}", a.0);
        let n = name(to);
        let to_int = from.is_float() && to.is_integer();
        let (lo, hi) = bounds(from, to);
        let text = match to {
            PhysType::Bool => format!("{x} != {}(0)", name(from)),
            _ if to_int => {
                let (min, max) = (smallest(to), largest(to));
                format!("w_to_int<{n}, {}>({x}, {lo}, {hi}, {min}, {max})", name(from))
            }
            _ => format!("{n}({x})"),
        };
        self.define(id, &text);
        // What always fits is not asked: everything from bool, and everything to a float.
        let fits = match (from, to) {
            (PhysType::Bool, _) | (_, PhysType::Bool | PhysType::F32 | PhysType::F64) => None,
            _ if to_int => {
                let suffix = if from == PhysType::F32 { "f" } else { "" };
                Some(format!("w_fits<{}>(trunc{suffix}({x}), {lo}, {hi})", name(from)))
            }
            _ => Some(format!("w_fits_int<{n}, {}>({x})", name(from))),
        };
        match (mode, fits) {
            (CastMode::Error, Some(fits)) => {
                self.raise(&format!("!{fits}"), fail::CAST, &[a], guard);
                self.strict(id, &[a]);
            }
            (CastMode::Null, fits) => {
                let fits = fits.unwrap_or_else(|| "true".into());
                let valid = self.valid(a);
                self.line(&format!("const bool n{} = {valid} && {fits};", id.0));
            }
            _ => self.strict(id, &[a]),
        }
    }
}

fn compared(ty: PhysType, op: &str, x: &str, y: &str) -> String {
    match ty.is_float() {
        true => format!("w_key({x}) {op} w_key({y})"),
        false => format!("{x} {op} {y}"),
    }
}

pub(crate) fn find(sources: &[Source], at: u32) -> &Source {
    sources.iter().find(|s| s.at == at).expect("every input that is needed is read")
}

/// Bits of an integer type and whether it is signed.
pub(crate) fn width(ty: PhysType) -> (u32, bool) {
    let bits = ty.packed_bytes().unwrap_or(1) as u32 * 8;
    (bits, ty.is_signed())
}

/// The smallest value of a signed type, 0 of others.
fn smallest(ty: PhysType) -> String {
    let (bits, signed) = width(ty);
    let value = if signed { 1u128 << (bits - 1) } else { 0 };
    bits_as(ty, value)
}

fn largest(ty: PhysType) -> String {
    let (bits, signed) = width(ty);
    bits_as(ty, u128::MAX >> (128 - bits + u32::from(signed)))
}

/// An integer type's smallest value and its largest plus one, as literals of a float type.
pub(crate) fn float_bounds(to: PhysType) -> (String, String) {
    let (bits, signed) = width(to);
    let end = 2f64.powi((bits - u32::from(signed)) as i32);
    let lo = if signed { format!("-{end:.1}") } else { "0.0".to_string() };
    (lo, format!("{end:.1}"))
}

fn bounds(from: PhysType, to: PhysType) -> (String, String) {
    if !to.is_integer() {
        return Default::default();
    }
    let suffix = if from == PhysType::F32 { "f" } else { "" };
    let (lo, hi) = float_bounds(to);
    (format!("{lo}{suffix}"), format!("{hi}{suffix}"))
}

/// An integer constant by its bits.
fn bits_as(ty: PhysType, bits: u128) -> String {
    let n = name(ty);
    match ty {
        PhysType::I128 => {
            format!(
                "{n}((u128({:#x}ull) << 64) | u128({:#x}ull))",
                (bits >> 64) as u64,
                bits as u64
            )
        }
        PhysType::I64 | PhysType::U64 => format!("{n}({:#x}ull)", bits as u64),
        _ => format!("{n}({:#x}u)", bits as u32),
    }
}

fn constant(c: Scalar) -> String {
    match c {
        Scalar::Bool(b) => b.to_string(),
        Scalar::F32(v) => format!("w_bits_f32({:#x}u)", v.to_bits()),
        Scalar::F64(v) => format!("w_bits_f64({:#x}ull)", v.to_bits()),
        Scalar::Int(..) | Scalar::UInt(..) => bits_as(c.ty(), c.bits()),
    }
}
