#!/bin/sh
# Makes the PDFs of this directory; see ../README.md. Run it here.
set -e
export SOURCE_DATE_EPOCH=1700000000
pdflatex -interaction=batchmode twocolumn.tex >/dev/null && pdflatex -interaction=batchmode twocolumn.tex >/dev/null
mv twocolumn.pdf ../latex-twocolumn.pdf && rm -f twocolumn.aux twocolumn.log
groff -Tpdf -ms manual.ms >../groff.pdf
groff -Tps -ms manual.ms | ps2pdf - ../ghostscript.pdf
soffice --headless --infilter="HTML (StarWriter)" --convert-to pdf:writer_pdf_Export office.html >/dev/null 2>&1 && mv office.pdf ../libreoffice.pdf
weasyprint -q rtl.html ../weasyprint-rtl.pdf
wkhtmltopdf -q office.html ../qt.pdf
python3 forms.py && mv forms.pdf ../reportlab.pdf
cd ..
qpdf --static-id --object-streams=generate --linearize groff.pdf qpdf-linear.pdf
qpdf --static-id --allow-weak-crypto --encrypt "" owner 40 -- groff.pdf rc4-40.pdf
qpdf --static-id --allow-weak-crypto --encrypt "" owner 128 --use-aes=y --cleartext-metadata -- groff.pdf aes-128.pdf
qpdf --static-id --object-streams=generate --encrypt "" owner 256 -- groff.pdf aes-256.pdf
qpdf --static-id --encrypt secret owner 256 -- groff.pdf aes-256-password.pdf
qpdf --static-id --allow-weak-crypto --encrypt secret owner 128 --use-aes=y -- groff.pdf aes-128-password.pdf
