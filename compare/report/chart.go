package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chart has a horizontal bar for each engine, on a logarithmic scale.
type chart struct {
	title string
	// bars are in order from the top.
	bars []bar
	// format formats a number of the scale.
	format func(float64) string
}

type bar struct {
	name  string
	value float64
	// marks are values that are marked on the bar.
	marks []float64
	label string
	// ours is for this project, whose bars have another colour.
	ours bool
}

var (
	ink       = color.Gray{Y: 0x33}
	gridLine  = color.Gray{Y: 0xdd}
	oursColor = color.RGBA{R: 0x1f, G: 0x6f, B: 0xb5, A: 0xff}
	peerColor = color.Gray{Y: 0xb4}
)

const (
	chartWidth = 9 * vg.Inch
	rowHeight  = 0.32 * vg.Inch
	barHeight  = 0.19 * vg.Inch
	margin     = 0.12 * vg.Inch
	fontSize   = vg.Length(10)
)

var chartFont = font.Font{Typeface: "Liberation", Variant: "Sans", Size: fontSize}

// svg returns the chart as SVG.
func (c chart) svg() ([]byte, error) {
	p := plot.New()
	p.Title.Text = c.title + ", logarithmic scale"
	p.Title.TextStyle.Font = font.From(chartFont, 12)
	p.Title.TextStyle.Color = ink
	p.Title.Padding = 8

	low, high := c.powersOfTen()
	p.X.Scale, p.X.Min, p.X.Max = plot.LogScale{}, low, high*math.Pow(high/low, 0.45) // room for the labels
	p.X.Tick.Marker = plot.ConstantTicks(c.ticks(low, high))
	p.X.Width, p.X.Tick.Width = 0, 0
	p.X.Tick.Label.Font, p.X.Tick.Label.Color = font.From(chartFont, 9), ink

	names := make([]string, len(c.bars))
	for i, b := range c.bars {
		names[len(c.bars)-1-i] = b.name
	}
	p.NominalY(names...)
	p.Y.Width = 0
	p.Y.Min, p.Y.Max = -0.6, float64(len(c.bars))-0.4
	p.Y.Tick.Label.Font, p.Y.Tick.Label.Color = chartFont, ink

	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	grid.Vertical.Color, grid.Vertical.Dashes = gridLine, nil
	p.Add(grid, c)

	canvas := vgsvg.New(chartWidth, rowHeight*vg.Length(len(c.bars))+1*vg.Inch)
	p.Draw(draw.Crop(draw.New(canvas), margin, -margin, margin, -margin))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("write SVG: %w", err)
	}
	// Arial has the same widths, for readers without Liberation.
	return bytes.ReplaceAll(out.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")), nil
}

// powersOfTen returns the limits of the scale.
func (c chart) powersOfTen() (low, high float64) {
	low, high = math.Inf(1), 0
	for _, b := range c.bars {
		least := b.value
		for _, mark := range b.marks {
			if mark > 0 {
				least = min(least, mark)
			}
		}
		low, high = min(low, least), max(high, b.value)
	}
	low, high = math.Pow(10, math.Floor(math.Log10(low*0.7))), math.Pow(10, math.Ceil(math.Log10(high)))
	return low, max(high, low*10)
}

func (c chart) ticks(low, high float64) (ticks []plot.Tick) {
	for x := low; x < high*1.5; x *= 10 {
		ticks = append(ticks, plot.Tick{Value: x, Label: c.format(x)})
	}
	return ticks
}

// Plot implements [plot.Plotter].
func (c chart) Plot(canvas draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&canvas)
	labels := text.Style{Color: ink, Font: font.From(chartFont, 9), YAlign: text.YCenter, Handler: plot.DefaultTextHandler}
	for i, b := range c.bars {
		y := toY(float64(len(c.bars) - 1 - i))
		fill := color.Color(peerColor)
		if b.ours {
			fill = oursColor
		}
		left, right := toX(p.X.Min), toX(b.value)
		canvas.FillPolygon(fill, []vg.Point{
			{X: left, Y: y - barHeight/2},
			{X: right, Y: y - barHeight/2},
			{X: right, Y: y + barHeight/2},
			{X: left, Y: y + barHeight/2},
		})
		for _, mark := range b.marks {
			if mark <= p.X.Min {
				continue
			}
			x := toX(mark)
			canvas.StrokeLine2(draw.LineStyle{Color: color.White, Width: 2}, x, y-barHeight/2, x, y+barHeight/2)
		}
		canvas.FillText(labels, vg.Point{X: right + 5, Y: y}, b.label)
	}
}
