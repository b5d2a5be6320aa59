package pdf

import (
	lib "github.com/ledongthuc/pdf"
)

// maxFonts bounds the fonts kept for later pages.
const maxFonts = 512

// resources are the named fonts and forms that some content may use.
type resources struct {
	v     lib.Value
	fonts map[string]*font
	forms map[string]lib.Value
}

// form returns the form XObject of a name; anything else is the null value.
func (r *resources) form(name string) lib.Value {
	if v, ok := r.forms[name]; ok {
		return v
	}
	v := r.v.Key("XObject").Key(name)
	if v.Key("Subtype").Name() != "Form" {
		v = lib.Value{}
	}
	if r.forms == nil {
		r.forms = map[string]lib.Value{}
	}
	r.forms[name] = v
	return v
}

// font returns the font of a name, nil when there is none. Values of the
// library cannot be compared, but their text form names every object they
// refer to, so equal text is the same font.
func (d *Document) font(r *resources, name string) *font {
	if r.fonts == nil {
		v := r.v.Key("Font")
		key := v.String()
		r.fonts = d.fontSets[key]
		if r.fonts == nil {
			r.fonts = map[string]*font{}
			if len(d.fontSets) >= maxFonts {
				clear(d.fontSets)
			}
			d.fontSets[key] = r.fonts
		}
	}
	if f, ok := r.fonts[name]; ok {
		return f
	}
	var f *font
	if v := r.v.Key("Font").Key(name); v.Kind() == lib.Dict {
		f = d.fontOf(v)
	}
	r.fonts[name] = f
	return f
}

// fontOf reads a font dictionary, or finds it among those read before.
func (d *Document) fontOf(v lib.Value) *font {
	if v.Kind() != lib.Dict {
		return nil
	}
	key := v.String()
	if f, ok := d.fonts[key]; ok {
		return f
	}
	if len(d.fonts) >= maxFonts {
		clear(d.fonts)
		clear(d.fontSets)
	}
	f := d.newFont(v)
	d.fonts[key] = f
	return f
}
