// The text of a row, for columns of offsets and bytes and for columns of views.
// Twin: kernels/string/text.cuh, which says how they lie and what is clamped. Bindings 0 and 1 of
// a shader that imports this are the column's heads and bytes, in words. The module
// windlass::string::other is made of this one, over bindings 3 and 4.
#define_import_path windlass::string::text
#import windlass::string::layout::{FORM_CONSTANT, FORM_VIEWS, Text, TextLayout}

@group(0) @binding(0) var<storage, read> heads: array<u32>;
@group(0) @binding(1) var<storage, read> bytes: array<u32>;

fn text_at(c: TextLayout, wanted: u32) -> Text {
    let row = select(wanted, 0u, (c.form & FORM_CONSTANT) != 0u);
    if row >= c.rows {
        return Text(0u, 0u, 0u);
    }
    if (c.form & FORM_VIEWS) != 0u {
        let len = heads[row * 4u];
        if len <= 12u {
            return Text(1u, row * 16u + 4u, len);
        }
        let first = min(heads[row * 4u + 3u], c.limit);
        return Text(0u, first, min(len, c.limit - first));
    }
    let first = min(heads[row], c.limit);
    let end = min(heads[row + 1u], c.limit);
    return Text(0u, first, max(end, first) - first);
}

fn text_unit(t: Text, word: u32) -> u32 {
    if t.short != 0u {
        return heads[word];
    }
    return bytes[word];
}

// Byte i of the text, which is less than its length.
fn text_byte(t: Text, i: u32) -> u32 {
    let place = t.first + i;
    return (text_unit(t, place >> 2u) >> ((place & 3u) * 8u)) & 0xffu;
}

// Four bytes of the text from byte i on, the first in the lowest place; 0 past its end.
fn text_word(t: Text, i: u32) -> u32 {
    if i >= t.len {
        return 0u;
    }
    let bits = min(t.len - i, 4u) * 8u;
    let place = t.first + i;
    let shift = (place & 3u) * 8u;
    var word = text_unit(t, place >> 2u) >> shift;
    if shift + bits > 32u {
        word |= text_unit(t, (place >> 2u) + 1u) << (32u - shift);
    }
    return extractBits(word, 0u, bits);
}

// As text_word(t, 0) for the text of a row, from the view where there is one: bytes elsewhere are
// not read for it.
fn text_first(c: TextLayout, wanted: u32, t: Text) -> u32 {
    if (c.form & FORM_VIEWS) == 0u {
        return text_word(t, 0u);
    }
    let row = select(wanted, 0u, (c.form & FORM_CONSTANT) != 0u);
    return extractBits(heads[row * 4u + 1u], 0u, min(t.len, 4u) * 8u);
}
