package cifar

// Source is where the archives are published.
const Source = "https://www.cs.toronto.edu/~kriz"

// An Archive is a data set as it is published, in its binary form.
type Archive struct {
	Name            string // of the data set: cifar-10
	File            string // below [Source]
	Size            int64  // in bytes
	SHA256          string // in lower-case hexadecimal digits
	Images, Classes int
}

// Archives are the data sets as they are published. Sizes and digests are those that
// TensorFlow Datasets has recorded for the same addresses (url_checksums/cifar10.txt
// and cifar100.txt); the publisher himself gives the MD5
// c32a1d4ab5d03f1284b67883e8d87530 and 03b5dce01913d631647c71ecec9e9cb8.
func Archives() []Archive {
	return []Archive{
		{
			Name: "cifar-10", File: "cifar-10-binary.tar.gz", Size: 170_052_171, Images: 60_000, Classes: 10,
			SHA256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
		},
		{
			Name: "cifar-100", File: "cifar-100-binary.tar.gz", Size: 168_513_733, Images: 60_000, Classes: 100,
			SHA256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
		},
	}
}
