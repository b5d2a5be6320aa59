"""Writes forms.pdf with reportlab: a form XObject, a table, invisible text, a turned page, fake bold."""
from reportlab.pdfgen import canvas

c = canvas.Canvas("forms.pdf", pagesize=(400, 500), invariant=1)
c.setTitle("Lost Property Register")
c.beginForm("head")
c.setFont("Times-Bold", 16)
c.drawString(40, 460, "Lost Property Register")
c.endForm()
c.doForm("head")
c.setFont("Helvetica", 10)
c.drawString(40, 430, "Everything found on the quay is written down here.")
for i, row in enumerate([("Item", "Found", "Claimed"), ("Umbrella", "3 May", "yes"), ("Left boot", "9 May", "no"), ("Trombone", "21 May", "no")]):
    for j, cell in enumerate(row):
        c.drawString(40 + 110 * j, 400 - 14 * i, cell)
t = c.beginText(40, 300)
t.setTextRenderMode(3)
t.textLine("This line lies under a scanned picture.")
c.drawText(t)
for dx in (0, 0.3):
    c.drawString(40 + dx, 270, "Twice printed to look bold.")
c.showPage()
c.setPageRotation(90)
c.saveState()
c.rotate(90)
c.setFont("Helvetica", 10)
c.drawString(60, -80, "A page turned on its side is read")
c.drawString(60, -93, "like any other page.")
c.restoreState()
c.showPage()
c.save()
