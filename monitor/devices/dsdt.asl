/*
 * The devices of the virtual PC, as ACPI tells of them. It must agree with monitor/machine.c (ports and interrupts),
 * monitor/devices/acpi_pm.h (\_S5), monitor/devices/piix3.c (PIRQ), monitor/devices/hpet.h and monitor/acpi.c (SERP, HPTP).
 */
DefinitionBlock ("", "DSDT", 1, "RINGER", "RINGERPC", 0x00000001)
{
    /* Soft off: SLP_TYP 0. */
    Name (\_S5, Package (0x04) { 0x00, 0x00, 0x00, 0x00 })

    /* Which serial ports there are, a bit each: acpi.c puts it here. */
    Name (SERP, 0xA5)

    /* Whether there is an HPET: likewise. */
    Name (HPTP, 0xA5)

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0x0000, 0x0000, 0x00FF, 0x0000, 0x0100)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0x0000, 0x0000, 0x0CF7, 0x0000, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0x0000, 0x0D00, 0xFFFF, 0x0000, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0x00000000, 0x000A0000, 0x000BFFFF, 0x00000000, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0xC0000000, 0xFEBFFFFF, 0x00000000, 0x3EC00000)
            })

            /* Pin p of slot s is PIRQ p + s - 1 (monitor/devices/pci.c). */
            Name (_PRT, Package ()
            {
                Package () { 0x0001FFFF, 0, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0001FFFF, 1, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0001FFFF, 2, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0001FFFF, 3, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0002FFFF, 0, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0002FFFF, 1, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0002FFFF, 2, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0002FFFF, 3, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0003FFFF, 0, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0003FFFF, 1, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0003FFFF, 2, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0003FFFF, 3, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0004FFFF, 0, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0004FFFF, 1, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0004FFFF, 2, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0004FFFF, 3, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0005FFFF, 0, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0005FFFF, 1, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0005FFFF, 2, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0005FFFF, 3, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0006FFFF, 0, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0006FFFF, 1, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0006FFFF, 2, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0006FFFF, 3, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0007FFFF, 0, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0007FFFF, 1, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0007FFFF, 2, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0007FFFF, 3, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0008FFFF, 0, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0008FFFF, 1, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0008FFFF, 2, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0008FFFF, 3, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0009FFFF, 0, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0009FFFF, 1, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0009FFFF, 2, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0009FFFF, 3, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x000AFFFF, 0, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x000AFFFF, 1, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x000AFFFF, 2, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x000AFFFF, 3, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x000BFFFF, 0, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x000BFFFF, 1, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x000BFFFF, 2, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x000BFFFF, 3, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x000CFFFF, 0, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x000CFFFF, 1, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x000CFFFF, 2, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x000CFFFF, 3, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x000DFFFF, 0, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x000DFFFF, 1, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x000DFFFF, 2, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x000DFFFF, 3, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x000EFFFF, 0, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x000EFFFF, 1, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x000EFFFF, 2, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x000EFFFF, 3, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x000FFFFF, 0, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x000FFFFF, 1, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x000FFFFF, 2, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x000FFFFF, 3, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0010FFFF, 0, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0010FFFF, 1, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0010FFFF, 2, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0010FFFF, 3, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0011FFFF, 0, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0011FFFF, 1, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0011FFFF, 2, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0011FFFF, 3, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0012FFFF, 0, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0012FFFF, 1, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0012FFFF, 2, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0012FFFF, 3, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0013FFFF, 0, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0013FFFF, 1, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0013FFFF, 2, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0013FFFF, 3, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0014FFFF, 0, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0014FFFF, 1, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0014FFFF, 2, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0014FFFF, 3, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0015FFFF, 0, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0015FFFF, 1, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0015FFFF, 2, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0015FFFF, 3, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0016FFFF, 0, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0016FFFF, 1, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0016FFFF, 2, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0016FFFF, 3, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0017FFFF, 0, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0017FFFF, 1, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0017FFFF, 2, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0017FFFF, 3, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0018FFFF, 0, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x0018FFFF, 1, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0018FFFF, 2, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0018FFFF, 3, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0019FFFF, 0, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x0019FFFF, 1, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x0019FFFF, 2, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x0019FFFF, 3, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x001AFFFF, 0, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x001AFFFF, 1, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x001AFFFF, 2, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x001AFFFF, 3, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x001BFFFF, 0, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x001BFFFF, 1, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x001BFFFF, 2, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x001BFFFF, 3, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x001CFFFF, 0, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x001CFFFF, 1, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x001CFFFF, 2, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x001CFFFF, 3, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x001DFFFF, 0, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x001DFFFF, 1, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x001DFFFF, 2, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x001DFFFF, 3, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x001EFFFF, 0, \_SB.PCI0.ISA.LNKB, 0 },
                Package () { 0x001EFFFF, 1, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x001EFFFF, 2, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x001EFFFF, 3, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x001FFFFF, 0, \_SB.PCI0.ISA.LNKC, 0 },
                Package () { 0x001FFFFF, 1, \_SB.PCI0.ISA.LNKD, 0 },
                Package () { 0x001FFFFF, 2, \_SB.PCI0.ISA.LNKA, 0 },
                Package () { 0x001FFFFF, 3, \_SB.PCI0.ISA.LNKB, 0 }
            })

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 0x04)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8,
                    PRQB, 8,
                    PRQC, 8,
                    PRQD, 8,
                }
            }
        }

        /* The links: where the PIRQs go. Bit 7: nowhere. */
        Scope (PCI0.ISA)
        {
        Method (LSTA, 1, NotSerialized)
        {
            If (Arg0 & 0x80) { Return (0x09) }
            Return (0x0B)
        }
        Method (LCRS, 1, Serialized)
        {
            Name (BUF, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {0} })
            CreateDWordField (BUF, 0x05, NUM)
            If (!(Arg0 & 0x80)) { NUM = Arg0 & 0x0F }
            Return (BUF)
        }
        Method (LIRQ, 1, NotSerialized)
        {
            CreateDWordField (Arg0, 0x05, NUM)
            Return (NUM)
        }

        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x01)
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11} })
            Method (_STA, 0, NotSerialized) { Return (LSTA (PRQA)) }
            Method (_CRS, 0, Serialized) { Return (LCRS (PRQA)) }
            Method (_DIS, 0, NotSerialized) { PRQA = PRQA | 0x80 }
            Method (_SRS, 1, NotSerialized) { PRQA = LIRQ (Arg0) }
        }

        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x02)
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11} })
            Method (_STA, 0, NotSerialized) { Return (LSTA (PRQB)) }
            Method (_CRS, 0, Serialized) { Return (LCRS (PRQB)) }
            Method (_DIS, 0, NotSerialized) { PRQB = PRQB | 0x80 }
            Method (_SRS, 1, NotSerialized) { PRQB = LIRQ (Arg0) }
        }

        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x03)
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11} })
            Method (_STA, 0, NotSerialized) { Return (LSTA (PRQC)) }
            Method (_CRS, 0, Serialized) { Return (LCRS (PRQC)) }
            Method (_DIS, 0, NotSerialized) { PRQC = PRQC | 0x80 }
            Method (_SRS, 1, NotSerialized) { PRQC = LIRQ (Arg0) }
        }

        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x04)
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11} })
            Method (_STA, 0, NotSerialized) { Return (LSTA (PRQD)) }
            Method (_CRS, 0, Serialized) { Return (LCRS (PRQD)) }
            Method (_DIS, 0, NotSerialized) { PRQD = PRQD | 0x80 }
            Method (_SRS, 1, NotSerialized) { PRQD = LIRQ (Arg0) }
        }
        }

        /* Ports that belong to the board and to no other device here. */
        Device (MBRD)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 0x01)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0080, 0x0080, 0x01, 0x01)
                IO (Decode16, 0x0092, 0x0092, 0x01, 0x01)
                IO (Decode16, 0x00B2, 0x00B2, 0x01, 0x02)
                IO (Decode16, 0x0600, 0x0600, 0x01, 0x40)
            })
        }

        Device (PIC)
        {
            Name (_HID, EisaId ("PNP0000"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0020, 0x0020, 0x01, 0x02)
                IO (Decode16, 0x00A0, 0x00A0, 0x01, 0x02)
                IO (Decode16, 0x04D0, 0x04D0, 0x01, 0x02)
                IRQNoFlags () {2}
            })
        }

        Device (DMAC)
        {
            Name (_HID, EisaId ("PNP0200"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0000, 0x0000, 0x01, 0x10)
                IO (Decode16, 0x0081, 0x0081, 0x01, 0x0F)
                IO (Decode16, 0x00C0, 0x00C0, 0x01, 0x20)
                DMA (Compatibility, NotBusMaster, Transfer8) {4}
            })
        }

        Device (TMR)
        {
            Name (_HID, EisaId ("PNP0100"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0040, 0x0040, 0x01, 0x04)
                IRQNoFlags () {0}
            })
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, Zero)
            Method (_STA, 0, NotSerialized)
            {
                If (HPTP) { Return (0x0F) }
                Return (Zero)
            }
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400)
            })
        }

        Device (SPKR)
        {
            Name (_HID, EisaId ("PNP0800"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0061, 0x0061, 0x01, 0x01)
            })
        }

        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
                IRQNoFlags () {8}
            })
        }

        Device (KBD)
        {
            Name (_HID, EisaId ("PNP0303"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                IRQNoFlags () {1}
            })
        }

        Device (MOU)
        {
            Name (_HID, EisaId ("PNP0F13"))
            Name (_CRS, ResourceTemplate ()
            {
                IRQNoFlags () {12}
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 0x01)
            Method (_STA, 0, NotSerialized)
            {
                If (SERP & 0x01) { Return (0x0F) }
                Return (Zero)
            }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
                IRQNoFlags () {4}
            })
        }

        Device (COM2)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 0x02)
            Method (_STA, 0, NotSerialized)
            {
                If (SERP & 0x02) { Return (0x0F) }
                Return (Zero)
            }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02F8, 0x02F8, 0x01, 0x08)
                IRQNoFlags () {3}
            })
        }

        Device (COM3)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 0x03)
            Method (_STA, 0, NotSerialized)
            {
                If (SERP & 0x04) { Return (0x0F) }
                Return (Zero)
            }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03E8, 0x03E8, 0x01, 0x08)
                IRQNoFlags () {4}
            })
        }

        Device (COM4)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 0x04)
            Method (_STA, 0, NotSerialized)
            {
                If (SERP & 0x08) { Return (0x0F) }
                Return (Zero)
            }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02E8, 0x02E8, 0x01, 0x08)
                IRQNoFlags () {3}
            })
        }
    }
}
