// The text of a row of a second column. Twin: kernels/string/text.cuh. As string/text.wgsl, with
// the second column's heads and bytes as bindings 3 and 4 of a shader that imports this.
#define_import_path windlass::string::other
#import windlass::string::text::{Text, TextLayout, FORM_CONSTANT, FORM_VIEWS}

@group(0) @binding(3) var<storage, read> other_heads: array<u32>;
@group(0) @binding(4) var<storage, read> other_bytes: array<u32>;

fn other_at(c: TextLayout, wanted: u32) -> Text {
    let row = select(wanted, 0u, (c.form & FORM_CONSTANT) != 0u);
    if row >= c.rows {
        return Text(0u, 0u, 0u);
    }
    if (c.form & FORM_VIEWS) != 0u {
        let len = other_heads[row * 4u];
        if len <= 12u {
            return Text(1u, row * 16u + 4u, len);
        }
        let first = min(other_heads[row * 4u + 3u], c.limit);
        return Text(0u, first, min(len, c.limit - first));
    }
    let first = min(other_heads[row], c.limit);
    let end = min(other_heads[row + 1u], c.limit);
    return Text(0u, first, max(end, first) - first);
}

fn other_unit(t: Text, word: u32) -> u32 {
    if t.short != 0u {
        return other_heads[word];
    }
    return other_bytes[word];
}

// Four bytes of the text from byte i on, the first in the lowest place; 0 past its end.
fn other_word(t: Text, i: u32) -> u32 {
    if i >= t.len {
        return 0u;
    }
    let bits = min(t.len - i, 4u) * 8u;
    let place = t.first + i;
    let shift = (place & 3u) * 8u;
    var word = other_unit(t, place >> 2u) >> shift;
    if shift + bits > 32u {
        word |= other_unit(t, (place >> 2u) + 1u) << (32u - shift);
    }
    return extractBits(word, 0u, bits);
}
