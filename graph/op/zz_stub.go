package op

func stubs() []Entry {
	return []Entry{
		{Name: "Gather", Min: 1, Max: 26, Lower: func(c *Call) ([]*Value, error) {
			a := int(c.Node.Int("axis", 0))
			if a < 0 {
				a += c.In[0].Type.Rank()
			}
			v, err := c.Emit(Gather{a}, c.In[0], c.In[1])
			return []*Value{v}, err
		}},
		{Name: "Shape", Min: 1, Max: 26, Lower: func(c *Call) ([]*Value, error) {
			s := c.In[0].Type.Shape
			st, en := int(c.Node.Int("start", 0)), int(c.Node.Int("end", int64(len(s))))
			v := make([]int64, 0)
			for _, d := range s[st:en] {
				v = append(v, int64(d))
			}
			return []*Value{c.Ints(v...)}, nil
		}},
		{Name: "Constant", Min: 1, Max: 26, Lower: func(c *Call) ([]*Value, error) {
			t := c.Node.Tensor("value")
			if t == nil {
				v := c.Ints(c.Node.Ints("value_ints")...)
				if len(c.Node.Ints("value_ints")) == 0 {
					v = c.Program.Constant(Ints([]int64{c.Node.Int("value_int", 0)}))
				}
				return []*Value{v}, nil
			}
			if ClassOf(t.DType) == ClassInt {
				d, err := t.Int64s()
				return []*Value{c.Program.Constant(Array{Type{t.DType, t.Shape}, d})}, err
			}
			d, err := t.Float32s()
			return []*Value{c.Program.Constant(Array{Type{t.DType, t.Shape}, d})}, err
		}},
		{Name: "ConstantOfShape", Min: 1, Max: 26, Lower: func(c *Call) ([]*Value, error) {
			s, err := c.KnownInts(0, "shape")
			if err != nil {
				return nil, err
			}
			shape := []int{}
			for _, d := range s {
				shape = append(shape, int(d))
			}
			n := 1
			for _, d := range shape {
				n *= d
			}
			t := c.Node.Tensor("value")
			x, _ := t.Int64s()
			v := make([]int64, n)
			for i := range v {
				v[i] = x[0]
			}
			return []*Value{c.Program.Constant(Array{Type{t.DType, shape}, v})}, nil
		}},
	}
}
