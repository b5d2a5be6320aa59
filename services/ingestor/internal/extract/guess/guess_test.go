package guess_test

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/guess"
)

func TestCharsetsAreToldByTheirText(t *testing.T) {
	t.Parallel()
	const (
		russian    = "Завод в Казани был построен в 1975 году. Директор завода Иван Петров."
		ukrainian  = "Завод у Харкові був збудований у 1975 році. На ньому працює 820 людей."
		greek      = "Το εργοστάσιο στην Πάτρα ιδρύθηκε το 1961 και απασχολεί 300 ανθρώπους."
		hebrew     = "המחסן בחיפה נפתח בשנת 2004. עובדים בו 77 אנשים. המנהלת היא רות לוי."
		arabic     = "المستودع في الرياض افتتح عام 1999. يعمل فيه 540 موظفا. مديرة المستودع هي ليلى حسن."
		thai       = "คลังสินค้าในกรุงเทพเปิดในปี 2015 มีพนักงาน 120 คน ผู้จัดการชื่อสมชาย"
		japanese   = "東京工場は1998年に開業しました。従業員は450人です。工場長は田中さんです。"
		korean     = "서울 공장은 1998년에 문을 열었습니다. 직원은 450명이며 공장장은 김 씨입니다. 이 공장에서는 배를 만들고 있다."
		simplified = "上海的工厂是在1998年建成的。我们有450个人在这里工作，他们来自中国的不同地方。"
		chinese    = "台北的工廠是在1998年建成的。我們有450個人在這裡工作，他們來自中國的不同地方。"
	)
	for charset, text := range map[string]string{
		"windows-1251": russian, "koi8-r": russian, "ibm866": russian, "iso-8859-5": ukrainian,
		"windows-1253": greek, "windows-1255": hebrew, "windows-1256": arabic, "iso-8859-6": arabic,
		"windows-874": thai, "shift_jis": japanese, "euc-jp": japanese, "euc-kr": korean, "gb18030": simplified, "big5": chinese,
	} {
		t.Run(charset, func(t *testing.T) {
			t.Parallel()
			for _, around := range []string{"", "<html><body><p>", strings.Repeat("plain words ", 50)} {
				if got, _ := guess.Charset([]byte(around + encode(t, charset, text))); got != charset {
					t.Errorf("got %q", got)
				}
			}
		})
	}
}

func encode(t *testing.T, charset, text string) string {
	t.Helper()
	enc, err := htmlindex.Get(charset)
	if err != nil {
		t.Fatal(err)
	}
	out, err := enc.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWesternTextIsNeverTakenForAnother(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"French":      "Le café coûte 4,50 € à Genève. Le propriétaire s’appelle André Lefèvre, né à Orléans ; l’œuvre a été créée en été. « Déjà vu », dit-il.",
		"German":      "Überflüssige Büroflächen wurden größtenteils vermietet; schöne Grüße aus Köln, Düsseldorf und Münster. Öffnungszeiten: 8–18 Uhr.",
		"Spanish":     "La garantía dura tres años. El señor Muñoz dirige la fábrica de Logroño. ¿Qué pasó? ¡Adiós, corazón! ªº",
		"Portuguese":  "A manutenção não está incluída; as informações são válidas até março. Ação, coração, pão, mães, põe, à, às.",
		"Swedish":     "Å i åa ä e ö. På ön står två rödmålade båthus. Räksmörgås, överåskådlig, ääliö älä lyö ööliä läikkyy.",
		"Icelandic":   "Það var þá. Þetta er íslenska: æði, ðæð, þýðing, öðruvísi, árið, óþýðæ.",
		"quotes":      "“One” – ‘two’ — three… “four” • five ™ ® © “six” “seven” … … ………………………………",
		"rules":       strings.Repeat("—", 60) + "\nA title\n" + strings.Repeat("¯", 60) + "\n«««»»» ©©©",
		"an alphabet": "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ",
		"capitals":    "ÄÖÜ: MÄÖÄÄ. ÉÈÀ! ÇÀ ET LÀ, ÉÉÉ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := charmap.Windows1252.NewEncoder().Bytes([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := guess.Charset(b); got != "" {
				t.Errorf("taken for %s", got)
			}
		})
	}
}

func TestWhatLooksWrongIsDoubtful(t *testing.T) {
	t.Parallel()
	polish := encode(t, "windows-1250", "Miłość jest źródłem życia; wąż płynął łódką po żółtej łące. Książka leży na półce.")
	for name, tc := range map[string]struct {
		text     string
		doubtful bool
		charset  string
	}{
		"Western":                     {encode(t, "windows-1252", "Le café coûte 4,50 € à Genève, où l’été a déjà été très long."), false, ""},
		"Polish":                      {polish, true, ""},
		"Georgian, as nobody wrote":   {strings.Repeat("\xc8\xd5\xc9\xd0\xd7\xc2 \xfa\xfb\xfc\xfd ", 9), true, ""},
		"a little":                    {"caf\xe9 \xe9\xe8\xea", false, ""},
		"UTF-8 with a damaged letter": {strings.Repeat("Завод в Казани. ", 9) + "\xd0 ", false, "utf-8"},
		"nothing":                     {"", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if charset, doubtful := guess.Charset([]byte(tc.text)); charset != tc.charset || doubtful != tc.doubtful {
				t.Errorf("taken for %q, doubtful: %v", charset, doubtful)
			}
		})
	}
}
